"""HTTP sessions with this installation's own servers: no proxy and no password of the environment is used."""

from __future__ import annotations

from pathlib import Path

import requests

from vllm_healer.model import Target


def direct_session() -> requests.Session:
    """A session that takes nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    return session


def server_session(target: Target) -> requests.Session:
    """A session with one vLLM server. Connections are not kept: vLLM closes idle ones after 5 s, and closing one
    aborts its request."""
    session = direct_session()
    session.verify = target.ca_file or True
    session.headers["Connection"] = "close"
    return session


def key_header(target: Target) -> dict[str, str]:
    """The server's API key, read at each use, so that a rotated key needs no restart. Raises OSError."""
    if not target.api_key_file:
        return {}
    return {"Authorization": f"Bearer {Path(target.api_key_file).read_text(encoding='utf-8').strip()}"}
