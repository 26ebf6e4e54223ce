"""One server as vLLM runs it: API server, engine core and worker, each a process of its own."""
