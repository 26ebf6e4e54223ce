"""Runs collectors: what one is, how they are found, and when they run."""
