"""Ranks of a parallel group: where they run, and which of them holds the others up."""
