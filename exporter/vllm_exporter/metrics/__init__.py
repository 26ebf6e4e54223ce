"""Metric families, their series, and the text of /metrics."""
