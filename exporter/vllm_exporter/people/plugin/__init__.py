"""Says for a server's Python environment what of the part inside vLLM would load there, and why not."""
