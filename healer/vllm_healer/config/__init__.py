"""The settings: healer.yml, environment variables and flags, checked and read once."""

from vllm_healer.config.checks import server_name
from vllm_healer.config.config import Config, Limits, Mode, load

__all__ = ["Config", "Limits", "Mode", "load", "server_name"]
