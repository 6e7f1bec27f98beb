"""One self-contained HTML page of all that an output folder holds, and of the runs behind it."""
