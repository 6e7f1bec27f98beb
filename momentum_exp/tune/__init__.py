"""Tuning: Optuna over ordinary runs, selected on the validation split."""
