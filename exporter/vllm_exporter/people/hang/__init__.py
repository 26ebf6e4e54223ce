"""Finds why a vLLM server does not move, or that it does: rules over evidence, without any input or output."""
