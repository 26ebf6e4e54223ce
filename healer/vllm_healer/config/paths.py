"""Paths of the configuration: relative to its directory, and to files that are there."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_healer.config.checks import check_secret
from vllm_healer.config.yaml_lines import Value
from vllm_healer.errors import ConfigError


def secret_path(value: Value, key: str, base: Path) -> str:
    """The path of a file that must be there and closed to others; '' when none is given."""
    return check_secret(_path(value, key, base), f"{value.where}: {key}")


def readable_path(value: Value, key: str, base: Path) -> str:
    """The path of a file that must be readable; '' when none is given."""
    path = _path(value, key, base)
    if path and not os.access(path, os.R_OK):
        raise ConfigError(f"{value.where}: {key} {path} is not there or cannot be read")
    return path


def _path(value: Value, key: str, base: Path) -> str:
    """The path, relative to the configuration's directory: it means the same wherever the healer is started."""
    text = value.scalar(key)
    return str(base / text) if text else ""
