"""Reads the ranks of parallel groups: where they run, and which of them holds the others up."""
