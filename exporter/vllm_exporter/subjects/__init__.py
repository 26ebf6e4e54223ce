"""One folder per subject: its readers, its decisions, its collectors and its metric families."""
