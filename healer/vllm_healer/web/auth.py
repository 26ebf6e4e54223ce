"""The bearer tokens: Alertmanager's posts alerts, an operator's pauses and resumes, a reader's sees what is said.

Where no operator's is set, as in configurations of earlier releases, Alertmanager's does it all.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vllm_healer.config import Config
from vllm_healer.errors import ConfigError
from vllm_healer.secret_mode import exposed

# Characters. Of hexadecimal digits that is 32 bits: weeks of trying over HTTP, and an alert fires in its first minutes.
SHORTEST = 8


class Right(StrEnum):
    """The right that a token gives."""

    ALERTS = "alerts"  # POST /alerts
    OPERATE = "operate"  # pause, resume, approve, refuse, maintenance
    READ = "read"  # incidents and words about servers


@dataclass(frozen=True)
class Tokens:
    """The files of the tokens by the settings that name them; '' is not set."""

    token_file: str
    operator_token_file: str = ""
    read_token_file: str = ""

    @classmethod
    def of(cls, config: Config) -> Tokens:
        return cls(config.token_file, config.operator_token_file, config.read_token_file)

    def settings(self, right: Right) -> tuple[str, ...]:
        """The names of the settings whose tokens have this right."""
        operator = "operator_token_file" if self.operator_token_file else "token_file"
        reader = ("read_token_file",) if self.read_token_file else ()
        return {Right.ALERTS: ("token_file",), Right.OPERATE: (operator,), Right.READ: (operator, *reader)}[right]

    def read(self, right: Right) -> tuple[str, ...]:
        """The tokens that have this right. Raises ConfigError when one of them cannot be read.

        They are read at each use, as Alertmanager does, so that a new token needs no restart.
        """
        return tuple(read_token(getattr(self, setting), setting) for setting in self.settings(right))

    def check(self) -> None:
        """Raises ConfigError when a token cannot be read, or when two files hold the same and so separate nothing."""
        known: dict[str, str] = {}
        for setting in dict.fromkeys(name for right in Right for name in self.settings(right)):
            other = known.setdefault(read_token(getattr(self, setting), setting), setting)
            if other != setting:
                words = "each of the two would do what the other is for; write another: openssl rand -hex 32"
                raise ConfigError(f"{setting} and {other} hold the same token: {words}")

    def warning(self) -> str:
        """Words about one token that does it all; '' when they are separate."""
        if self.operator_token_file or not self.token_file:
            return ""
        return (
            "whoever has the token of token_file can pause the healer too: set operator_token_file to separate the two"
        )


def read_token(path: str, setting: str = "token_file") -> str:
    """The one line of the token file. Raises ConfigError, without the token, when it is no secret or no token."""
    if not path:
        raise ConfigError(f"{setting} is not set; point it to a file with the token that Alertmanager sends")
    try:
        problem = exposed(path)
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise ConfigError(f"{setting} {path}: {error.strerror}; create it, readable by the healer's user") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting} {path}: not plain ASCII; write for example 32 hexadecimal digits") from None
    if problem:
        raise ConfigError(f"{setting} {path} {problem}")
    return parse_token(text, path, setting)


def parse_token(text: str, path: str, setting: str = "token_file") -> str:
    """The token without the line break at its end. Raises ConfigError when it is none, too short or has blanks."""
    token = text.strip()
    if not token:
        raise ConfigError(f"{setting} {path} is empty; write a token: openssl rand -hex 32 > {path}")
    if len(token) < SHORTEST:
        words = f"the token has {len(token)} characters and can be guessed; write at least {SHORTEST}"
        raise ConfigError(f"{setting} {path}: {words}: openssl rand -hex 32 > {path}")
    if not token.isprintable() or " " in token:
        raise ConfigError(f"{setting} {path}: the token must be one word on one line")
    return token


def allowed(header: str, tokens: Iterable[str]) -> bool:
    """True if an Authorization header carries one of the tokens. It takes the same time wherever they differ."""
    scheme, _, presented = header.partition(" ")
    given = presented.strip().encode("utf-8", "replace")
    same = [hmac.compare_digest(given, token.encode()) for token in tokens]
    return any(same) and scheme.lower() == "bearer"
