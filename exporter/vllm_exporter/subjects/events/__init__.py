"""Writes events as JSON lines to a file and to Loki."""
