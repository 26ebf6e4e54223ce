"""What the end-to-end tests and the benchmarks share: a real vLLM, the real stack, faults, load and a timeline."""
