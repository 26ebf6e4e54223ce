"""Snapshot files of the in-process part."""
