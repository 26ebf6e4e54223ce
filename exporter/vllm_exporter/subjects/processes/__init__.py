"""Reads vLLM's processes on this host."""
