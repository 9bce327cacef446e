"""Models: where they come from, how they are loaded, and how they are adapted."""
