"""The command line `vllm-healer`; exit codes: 0 fine, 1 failed, 2 wrong use."""

from vllm_healer.cli.main import main

__all__ = ["main"]
