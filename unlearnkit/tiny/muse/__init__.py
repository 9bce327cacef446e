"""The tiny MUSE: invented town news, and two small models."""
