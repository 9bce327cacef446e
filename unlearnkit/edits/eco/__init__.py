"""ECO: corrupts the embeddings of prompts that a classifier finds."""
