"""Replaces the default addresses in a configuration file by the configured ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from deploy.config.settings import Ports
from deploy.errors import TemplateError

HOST = "127.0.0.1"
_DEFAULTS = {port: part for part, port in Ports().by_part().items()}
_ADDRESS = re.compile(rf"(?<![\d.]){re.escape(HOST)}:({'|'.join(map(str, _DEFAULTS))})(?!\d)")


def replace_addresses(text: str, addresses: Mapping[str, str], expected: Iterable[str], name: str) -> str:
    """Replaces all default addresses by those of `addresses` (part -> host:port), in one pass: ports may be swapped.

    Raises TemplateError when the address of a part in `expected` is missing: the part would silently stay unwatched.
    """
    found = {_DEFAULTS[int(match)] for match in _ADDRESS.findall(text)}
    if missing := [part for part in expected if part not in found]:
        lacking = ", ".join(f"{part} ({HOST}:{getattr(Ports(), part)})" for part in missing)
        raise TemplateError(
            f"{name}: no address of {lacking}: put it back, the renderer replaces it by the configured one"
        )
    return _ADDRESS.sub(lambda match: addresses[_DEFAULTS[int(match[1])]], text)
