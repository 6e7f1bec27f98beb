"""Tables and pictures of any runs: what each run draws of itself, and `scripts/summarize.py` of a folder of them."""
