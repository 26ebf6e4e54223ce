"""The bearer token: whoever has it can make the healer look, pause and resume."""

from __future__ import annotations

import hmac
from pathlib import Path

from vllm_healer.errors import ConfigError
from vllm_healer.secret_mode import exposed

# Characters. Of hexadecimal digits that is 32 bits: weeks of trying over HTTP, and an alert fires in its first minutes.
SHORTEST = 8


def read_token(path: str) -> str:
    """The one line of the token file. Raises ConfigError, without the token, when it is no secret or no token.

    It is read at each use, as Alertmanager does, so that a new token needs no restart.
    """
    if not path:
        raise ConfigError("token_file is not set; point it to a file with the token that Alertmanager sends")
    try:
        problem = exposed(path)
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise ConfigError(f"token_file {path}: {error.strerror}; create it, readable by the healer's user") from None
    except UnicodeDecodeError:
        raise ConfigError(f"token_file {path}: not plain ASCII; write for example 32 hexadecimal digits") from None
    if problem:
        raise ConfigError(f"token_file {path} {problem}")
    return parse_token(text, path)


def parse_token(text: str, path: str) -> str:
    """The token without the line break at its end. Raises ConfigError when it is none, too short or has blanks."""
    token = text.strip()
    if not token:
        raise ConfigError(f"token_file {path} is empty; write a token: openssl rand -hex 32 > {path}")
    if len(token) < SHORTEST:
        words = f"the token has {len(token)} characters and can be guessed; write at least {SHORTEST}"
        raise ConfigError(f"token_file {path}: {words}: openssl rand -hex 32 > {path}")
    if not token.isprintable() or " " in token:
        raise ConfigError(f"token_file {path}: the token must be one word on one line")
    return token


def allowed(header: str, token: str) -> bool:
    """True if an Authorization header carries the token. It takes the same time wherever the two differ."""
    scheme, _, presented = header.partition(" ")
    same = hmac.compare_digest(presented.strip().encode("utf-8", "replace"), token.encode())
    return same and scheme.lower() == "bearer"
