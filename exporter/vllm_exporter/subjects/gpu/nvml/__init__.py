"""Reads NVIDIA's GPUs through NVML, its management library."""
