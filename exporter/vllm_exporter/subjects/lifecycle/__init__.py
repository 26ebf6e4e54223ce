"""Finds the lifecycle state of each server, one of 42."""
