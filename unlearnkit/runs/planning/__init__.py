"""Plans of runs: what they need on a machine that is not here."""
