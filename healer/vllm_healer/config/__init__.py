"""The settings: healer.yml, environment variables and flags, checked and read once."""

from vllm_healer.config.checks import check_trusted, server_name
from vllm_healer.config.config import Config, Limits, Mode, load

__all__ = ["Config", "Limits", "Mode", "check_trusted", "load", "server_name"]
