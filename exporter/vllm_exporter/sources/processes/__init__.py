"""Processes and who looks after them."""
