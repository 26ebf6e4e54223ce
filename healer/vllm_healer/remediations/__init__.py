"""Remediations: each answers some causes with one action. `plugins.load` finds them; a file is its own registration."""
