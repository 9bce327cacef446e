"""Text to token ids, and which of them are control."""
