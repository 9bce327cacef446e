"""Search of settings on Optuna: knows values by name, and no recipe."""
