"""The HTTP interface of vLLM, on asyncio and nothing else."""
