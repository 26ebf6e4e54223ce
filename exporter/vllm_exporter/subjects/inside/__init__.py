"""Reads counts from inside vLLM's processes, out of the files that they write."""
