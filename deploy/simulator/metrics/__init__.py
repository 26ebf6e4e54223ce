"""GET /metrics as vLLM 0.32 words it."""
