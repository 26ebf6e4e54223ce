"""Probes vLLM servers over HTTP."""
