"""The bearer token: whoever has it can make the healer look, pause and resume."""

from __future__ import annotations

import hmac
import os
import stat
from pathlib import Path

from vllm_healer.errors import ConfigError


def read_token(path: str) -> str:
    """The one line of the token file. Raises ConfigError, without the token, when it is no secret or no token."""
    if not path:
        raise ConfigError("token_file is not set; point it to a file with the token that Alertmanager sends")
    try:
        _require_private(path)
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise ConfigError(f"token_file {path}: {error.strerror}; create it, readable by the healer's user") from None
    except UnicodeDecodeError:
        raise ConfigError(f"token_file {path}: not plain ASCII; write for example 32 hexadecimal digits") from None
    return parse_token(text, path)


def parse_token(text: str, path: str) -> str:
    """The token without the line break at its end. Raises ConfigError when it is empty or has blanks inside."""
    token = text.strip()
    if not token:
        raise ConfigError(f"token_file {path} is empty; write a token: openssl rand -hex 32 > {path}")
    if not token.isprintable() or " " in token:
        raise ConfigError(f"token_file {path}: the token must be one word on one line")
    return token


def allowed(header: str, token: str) -> bool:
    """True if an Authorization header carries the token. It takes the same time wherever the two differ."""
    scheme, _, presented = header.partition(" ")
    same = hmac.compare_digest(presented.strip().encode("utf-8", "replace"), token.encode())
    return same and scheme.lower() == "bearer"


def _require_private(path: str) -> None:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & stat.S_IRWXO:
        raise ConfigError(f"token_file {path} is open to every user (mode {mode:04o}); run: chmod 600 {path}")
