"""A read-only exporter for vLLM servers, their processes and their host."""

__version__ = "0.1.0"  # written here too: reading the distribution's metadata would cost 2.4 MiB of memory
