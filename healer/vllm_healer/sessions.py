"""HTTP sessions with the healer itself: no proxy and no password of the environment is used."""

from __future__ import annotations

import requests


def direct_session() -> requests.Session:
    """A session that takes nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    return session
