"""The verbs: one file each, named as it is typed."""
