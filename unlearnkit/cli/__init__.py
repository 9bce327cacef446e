"""The command line: one LightningCLI for recipes, plain functions for the other verbs."""
