"""The settings: healer.yml, environment variables and flags, checked and read once."""

from vllm_healer.config.checks import check_trusted, server_name
from vllm_healer.config.config import Config, Mode, load
from vllm_healer.config.differences import Difference, compare_watched
from vllm_healer.config.limits import Limits

__all__ = ["Config", "Difference", "Limits", "Mode", "check_trusted", "compare_watched", "load", "server_name"]
