"""Runs: identity, folder, status, environment."""
