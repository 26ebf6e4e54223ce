"""Keeps vLLM's management paths from whoever merely reaches the port: without our token they are not there.

In its development mode vLLM offers them to everybody, whatever --api-key says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from vllm_monitor.paths import is_management
from vllm_monitor.series import Series
from vllm_monitor.token_file import VARIABLE, TokenFile

LOGGER = logging.getLogger("vllm_monitor")


class Guard:
    """Decides over management requests. Without a token file it lets all pass, and says so once."""

    def __init__(self, token: TokenFile | None) -> None:
        self._token = token
        self._refused = 0
        self._said = ""
        if token is not None:
            self._say(token.problem())

    def refuses(self, scope: Mapping[str, Any]) -> bool:
        """True for a request to a management path that does not show the token."""
        if not is_management(scope):
            return False
        if self._token is None:
            self._say_open(scope)
            return False
        refused = not self._token.opens_to(scope["headers"])
        self._refused += refused
        return refused

    def counts_in(self, series: Series, now: float) -> Iterator[None]:
        """Writes what it refused, and whether its token can be used; a source of the background thread."""
        if self._token is not None:
            problem = self._token.problem()
            self._say(problem)
            series.set(series.place("counter", "vllm_management_refusals_total"), float(self._refused))
            series.set(series.place("max", "vllm_management_token_unusable"), float(bool(problem)))
        yield

    def _say(self, problem: str) -> None:
        if problem and problem != self._said:
            LOGGER.error(
                "vllm_monitor: %s. Until then vLLM's management paths answer 404 to everybody; users are served",
                problem,
            )
        self._said = problem

    def _say_open(self, scope: Mapping[str, Any]) -> None:
        if not self._said:
            self._said = "open"
            LOGGER.warning(
                "vllm_monitor: %s %r was passed on to vLLM, as from anybody who reaches this port; %s guards such "
                "paths",
                scope["method"], scope["path"][:64], VARIABLE,
            )  # fmt: skip
