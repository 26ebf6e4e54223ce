"""Reads logs, and classifies their lines."""
