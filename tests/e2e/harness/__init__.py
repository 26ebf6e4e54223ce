"""What the end-to-end tests and benchmarks/loop.py share: a real vLLM, the real stack, faults, load and a timeline."""
