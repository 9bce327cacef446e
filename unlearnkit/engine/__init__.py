"""The engine: one forward pass, the output head, the reference model."""
