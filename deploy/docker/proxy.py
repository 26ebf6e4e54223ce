"""Renders haproxy.cfg of the proxy in front of Docker's socket: three requests about listed containers, and no other.

Docker's socket is worth root on the host: whoever may POST /containers/create on it mounts the host's disk. So each
path is matched whole, with names and versions written out, and everything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from deploy.errors import SettingsError

SOCKET = "/run/docker-proxy/docker.sock"  # in a volume that only the proxy and the healer mount
HEALTH = "127.0.0.1:8404"  # in the proxy's own network namespace, which has nothing but loopback
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")  # what Docker takes as a name

# Up to 1.23 `start` took a body with the container's rights in it: those versions are not let through.
_VERSION = "/v1[.](2[4-9]|[3-9][0-9])"


def containers_of(healer: Mapping[str, object]) -> tuple[str, ...]:
    """Returns the containers that healer.yml lets the docker actuator act on. Raises SettingsError for a bad name."""
    targets = healer.get("targets") or []
    names = {_container(target) for target in targets} if isinstance(targets, list) else set()
    for name in sorted(names - {""}):
        if not NAME.fullmatch(name):
            raise SettingsError(f"healer.yml: container {name!r}: a name has letters, digits and _.- only; `docker ps`")
    return tuple(sorted(names - {""}))


def render_proxy(containers: Iterable[str]) -> str:
    """Returns haproxy.cfg. Without containers it refuses everything."""
    names = "|".join(name.replace(".", "[.]") for name in containers)
    path = f"^{_VERSION}/containers/({names})" if names else "^$"
    return _TEMPLATE.format(socket=SOCKET, health=HEALTH, path=path)


def _container(target: object) -> str:
    match target:
        case {"actuator": "docker", "options": {"container": str(name)}}:
            return name
        case _:
            return ""


_TEMPLATE = """\
# Rendered from healer.yml: change that, then `make up`.
global
    maxconn 32
    log stdout format raw local0 info

defaults
    mode http
    log global
    option httplog
    option httpclose
    # In HTTP/2 a body needs no header that announces it: `body` below would not see one.
    option disable-h2-upgrade
    timeout connect 5s
    # Whoever opens connections and says nothing holds none of the 32 for longer.
    timeout http-request 5s
    timeout client 90s
    # A stop waits for the container's end, a start for its devices.
    timeout server 90s

frontend healer
    # The group is the healer's: the proxy runs with it.
    bind unix@{socket} mode 660
    acl look    method GET
    acl act     method POST
    acl json    path_reg {path}/json$
    acl start   path_reg {path}/start$
    acl stop    path_reg {path}/(stop|restart)$
    acl asked   query -m found
    acl grace   query -m reg ^t=[0-9]{{1,3}}$
    acl body    req.hdr_val(content-length) gt 0
    acl body    req.hdr(transfer-encoding) -m found
    # A connection that changes its protocol is one that nobody looks into.
    http-request del-header Upgrade
    http-request deny deny_status 403 if body
    http-request allow if look json !asked
    http-request allow if act start !asked
    http-request allow if act stop !asked
    http-request allow if act stop grace
    http-request deny deny_status 403
    default_backend docker

backend docker
    option httpchk GET /_ping
    server docker unix@/var/run/docker.sock check inter 5s

frontend health
    bind {health}
    monitor-uri /healthy
    monitor fail if {{ nbsrv(docker) lt 1 }}
    http-request deny deny_status 404
"""
