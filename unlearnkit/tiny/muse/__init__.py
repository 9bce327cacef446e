"""The tiny MUSE: town news of our own invention, and the scripts that made it."""
