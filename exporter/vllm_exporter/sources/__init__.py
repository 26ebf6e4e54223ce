"""How the exporter reads the world: sockets, vLLM's answers, /proc. One subject a module."""
