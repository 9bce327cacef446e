"""One training step: forward pass, views, output head."""
