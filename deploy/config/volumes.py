"""Fills the volumes of docker-compose.yml: one for each part, with all that it reads, and closed to the others."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from deploy.config.access import GUARDED, SECRETS, WEB, password_name
from deploy.config.carried import carry_files, read_from
from deploy.config.files import new_secret, read_secret, sync_directory
from deploy.config.filled import Filled
from deploy.config.grafana import PASSWORD
from deploy.config.prometheus import TARGETS
from deploy.config.render import compute
from deploy.config.settings import Settings
from deploy.config.site import CONTAINER, container_site
from deploy.config.web import render_access
from deploy.docker.proxy import containers_of, render_proxy

# The users of the images, by whom alone each volume is read. Ours are made in exporter/ and healer/Dockerfile.
USERS = {
    "exporter": 9855,
    "healer": 9856,
    "prometheus": 65534,  # nobody
    "alertmanager": 65534,
    "grafana": 472,
    "docker-proxy": 0,
}


def fill_volumes(checkout: Path, out: Path, settings: Settings, hostname: str) -> Filled:
    """Writes below `out`, where the volumes are mounted by part. An error leaves the old files whole."""
    computed = compute(checkout, checkout, settings, hostname, container_site(settings.ports, settings.gateway))
    containers = containers_of(computed.healer.values)
    files = carry_files(computed.files, CONTAINER, read_from(checkout))
    files["grafana"] = {PASSWORD: read_secret(out / "grafana" / PASSWORD) or secrets.token_urlsafe(18)}
    kept = {name: read_secret(out / "healer" / name) or new_secret() for name in SECRETS["healer"]}
    for part, names in SECRETS.items():
        files[part] |= {name: kept[name] for name in names}
    for part in GUARDED:
        files[part] |= render_access(part, kept[password_name(part)], read_secret(out / part / WEB), CONTAINER)
    files["docker-proxy"] = {"haproxy.cfg": render_proxy(containers)}
    for part, texts in files.items():
        sync_directory(out / part, texts)
        give_to(out / part, USERS[part])
    return Filled(
        digests={part: digest(texts) for part, texts in files.items()},
        profiles=("docker-actuator",) if containers else (),
        targets={target.server: target.address for target in computed.targets},
        chosen=computed.chosen,
        people=settings.people.words(),
        gateway=settings.gateway,
        warnings=computed.warnings,
    )


def digest(files: Mapping[str, str]) -> str:
    """Hashes the files but for the list of servers, which Prometheus reads again by itself."""
    content = hashlib.sha256()
    for name, text in sorted(files.items()):
        if name != TARGETS:
            content.update(f"{name}\0{text}\0".encode())
    return content.hexdigest()[:16]


def give_to(directory: Path, user: int) -> None:
    """Gives a volume to the one user that reads it; the files are closed to others already."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user, user)
