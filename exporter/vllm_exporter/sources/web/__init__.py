"""Requests to others, each with one deadline."""
