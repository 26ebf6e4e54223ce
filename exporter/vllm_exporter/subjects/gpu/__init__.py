"""Reads GPUs through the libraries of their drivers."""
