"""Detectors: each recognises one cause from the facts. `plugins.load` finds them; a file is its own registration."""
