"""Scripts that make the embedded records and their models."""
