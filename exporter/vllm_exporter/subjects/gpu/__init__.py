"""GPUs, by the libraries of their drivers."""
