"""Checkpoints that are folders of shards."""
