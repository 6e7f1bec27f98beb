"""How the drive u is accelerated: one file for each mechanism."""
