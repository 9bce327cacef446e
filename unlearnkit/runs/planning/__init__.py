"""Plans of runs on machines that are not here."""
