"""Counts from inside vLLM's processes, by the files that they write."""
