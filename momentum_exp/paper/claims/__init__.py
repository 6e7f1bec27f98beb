"""What the paper claims, the runs that test it, and what they say: statistics, verdicts, tables."""
