"""The token of those who may manage a server: in a file, read at each use, so that a new one needs no restart."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping

from vllm_monitor.regular_file import read_regular
from vllm_monitor.secret_mode import exposed

VARIABLE = "VLLM_MONITOR_TOKEN_FILE"
HEADER = b"x-vllm-monitor-token"
SHORTEST = 8  # characters, as the healer's
LONGEST = 4096


class UnusableToken(ValueError):
    """Nobody can be let in. The message names the file and the fix, and holds nothing of it."""


class TokenFile:
    """Where the token is. It need not be there yet."""

    def __init__(self, path: str) -> None:
        self._path = path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> TokenFile | None:
        """Returns the file that VLLM_MONITOR_TOKEN_FILE names; None: it is not set, so nobody wants a guard."""
        path = environment.get(VARIABLE, "")
        return cls(path) if path else None

    def opens_to(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """True if one of the headers is the token. False as well when the file cannot be used."""
        given = [value for name, value in headers if name == HEADER]
        if len(given) != 1:
            return False
        try:
            return hmac.compare_digest(given[0], self.read())
        except UnusableToken:
            return False

    def problem(self) -> str:
        """Returns why nobody can be let in, with the fix; '' when all is well."""
        try:
            self.read()
        except UnusableToken as error:
            return str(error)
        return ""

    def read(self) -> bytes:
        """Returns the token. Raises UnusableToken."""
        path = self._path
        try:
            token = read_regular(path, LONGEST, links=True)[1].strip()
            fault = exposed(path)
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise UnusableToken(f"{VARIABLE}: {path}: {words}; correct the path or its rights") from None
        if fault:
            raise UnusableToken(f"{VARIABLE}: {path} {fault}")
        if len(token) < SHORTEST or not token.isascii() or b" " in token or not token.decode().isprintable():
            raise UnusableToken(f"{VARIABLE}: {path} must hold one word of {SHORTEST} characters or more, such as "
                                "`openssl rand -hex 32` prints")  # fmt: skip
        return token


def read_token(environment: Mapping[str, str] = os.environ) -> bytes | None:
    """Returns the token; None where no file is named. Raises UnusableToken."""
    file = TokenFile.of(environment)
    return file.read() if file is not None else None
