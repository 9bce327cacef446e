"""The embedded model and data, and the scripts that made them."""
