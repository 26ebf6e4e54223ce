"""The site: where the parts run, natively on this host or in containers, as far as configuration has to say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from deploy.config.access import SECRETS
from deploy.config.addresses import HOST
from deploy.config.settings import Ports
from deploy.config.targets import Target, is_loopback


@dataclass(frozen=True)
class Site:
    """Addresses and paths by part; paths are as the part itself sees them."""

    addresses: Mapping[str, str]  # host:port by which the other parts reach it
    listen: Mapping[str, str]  # host:port, of the parts of this repository
    state: Mapping[str, Path]  # directories of the parts of this repository
    secrets: Mapping[str, Path]  # directories in which each part finds its secrets
    this_host: str = ""  # what Prometheus and the healer call the host, where loopback is not it

    @property
    def contained(self) -> bool:
        """True in containers, which have only those files of the host that they are given."""
        return bool(self.this_host)

    def seen(self, target: Target) -> Target:
        """Returns the target with the address that Prometheus has to use. Its name stays."""
        host, _, port = target.address.rpartition(":")
        away = self.this_host and is_loopback(host)
        return replace(target, address=f"{self.this_host}:{port}") if away else target

    def seen_url(self, url: str) -> str:
        """Returns the URL that the healer has to use."""
        parts = urlsplit(url)
        if not self.this_host or parts.hostname is None or not is_loopback(parts.hostname):
            return url
        port = f":{parts.port}" if parts.port else ""
        return parts._replace(netloc=self.this_host + port).geturl()


def native_site(ports: Ports, out: Path) -> Site:
    """Puts all parts on loopback, and their files below `out`."""
    addresses = {part: f"{HOST}:{port}" for part, port in ports.by_part().items()}
    return Site(
        addresses=addresses,
        listen=addresses,
        state={part: out / "data" / part for part in ("exporter", "healer")},
        # Copies in each part's own directory, since it may run as a user of its own; the healer reads the originals.
        secrets={part: out / "secrets" if part == "healer" else out / "config" / part for part in SECRETS},
    )


# In a container each part has its default port; the host's port is docker-compose.yml's business.
CONTAINER = Path("/etc/vllm-monitor")  # where each part sees its own configuration
INSIDE = Ports()


def container_site(ports: Ports, gateway: str) -> Site:
    """Uses the names of docker-compose.yml. The exporter is on the host's network: the bridge's gateway leads to it."""
    others = {part: port for part, port in INSIDE.by_part().items() if part != "exporter"}
    exporter = f"{gateway}:{ports.exporter}"
    return Site(
        addresses={"exporter": exporter, **{part: f"{part}:{port}" for part, port in others.items()}},
        listen={"exporter": f"{HOST}:{ports.exporter},{exporter}", "healer": f"0.0.0.0:{INSIDE.healer}"},
        state={part: Path(f"/var/lib/vllm-{part}") for part in ("exporter", "healer")},
        secrets=dict.fromkeys(SECRETS, CONTAINER),
        this_host="host.docker.internal",
    )
