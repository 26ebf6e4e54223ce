"""Renders web.yml, with which Prometheus and Alertmanager ask for a password, and client.yml for their commands."""

from __future__ import annotations

import bcrypt
import yaml

from deploy.config.access import CLIENT, USER, WEB, basic_auth

_ROUNDS = 10  # as Prometheus' page says; a password of 256 random bits needs none


def render_access(part: str, password: str, present: str, folder: object) -> dict[str, str]:
    """Returns name -> text of what a guarded part and its commands read. `present`: the text of its web.yml, or ''."""
    return {WEB: render_web(password, present), CLIENT: yaml.safe_dump({"basic_auth": basic_auth(part, folder)})}


def render_web(password: str, present: str) -> str:
    """Returns `present` while its hash is the password's: a new hash of the same password would be another file."""
    secret = password.strip().encode()
    if _holds(present, secret):
        return present
    hashed = bcrypt.hashpw(secret, bcrypt.gensalt(_ROUNDS)).decode()
    head = "# Rendered: basic auth for all that Prometheus' and Alertmanager's port shows.\n"
    return head + yaml.safe_dump({"basic_auth_users": {USER: hashed}})


def _holds(text: str, secret: bytes) -> bool:
    """True if a web.yml lets our user in with this password, and nobody else."""
    try:
        users = yaml.safe_load(text)["basic_auth_users"]
        return list(users) == [USER] and bcrypt.checkpw(secret, users[USER].encode())
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):  # another text, or no hash
        return False
