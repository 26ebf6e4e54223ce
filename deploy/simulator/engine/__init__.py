"""A model of vLLM's engine in discrete steps: no I/O, no clock of its own, the same result for the same seed."""
