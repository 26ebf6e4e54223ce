"""Serves /metrics, /health and a page for people."""
