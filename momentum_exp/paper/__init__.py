"""From run records to tables and figures, beside what the paper published. Reads records, never a model."""
