"""How the hidden state answers the drive: one file for each recurrence."""
