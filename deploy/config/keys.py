"""The table of all settings that .env and the environment may carry, in groups."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.config import channels
from deploy.config.channel import load_channels
from deploy.config.dotenv import Entry
from deploy.config.key import Key
from deploy.errors import SettingsError


@dataclass(frozen=True)
class Group:
    """Keys that belong together, under a heading of docs/settings.md and .env.example."""

    title: str
    words: str
    keys: tuple[Key, ...]


CHANNELS = load_channels(channels)
GROUPS = (
    Group(
        "Servers",
        "What is watched.",
        (
            Key(
                "VLLM_TARGETS",
                "The vLLM servers: host:port or http://host:port, separated by commas or spaces.",
                "localhost:8000",
            ),
            Key(
                "VLLM_API_KEY_FILE",
                "File that holds the API key of the servers, for canary requests.",
                example="secrets/vllm_api_key",
                passed_to="exporter",
                file=True,
            ),
            Key(
                "VLLM_CA_FILE",
                "File with the certificate authority of https servers.",
                example="secrets/vllm_ca.pem",
                passed_to="exporter",
                file=True,
            ),
        ),
    ),
    Group(
        "Healer",
        "It acts on servers that `healer.yml` lists, and on no others.",
        (
            Key(
                "VLLM_HEALER_MODE",
                "dry_run: say what would be done. act: do it. It goes before `mode` in healer.yml.",
                "dry_run",
                passed_to="healer",
            ),
        ),
    ),
    Group(
        "Ports",
        "Where the parts listen, on loopback.",
        (
            Key("EXPORTER_PORT", "Port of the exporter.", "9855"),
            Key("HEALER_PORT", "Port of the healer.", "9856"),
            Key("PROMETHEUS_PORT", "Port of Prometheus.", "9090"),
            Key("ALERTMANAGER_PORT", "Port of Alertmanager.", "9093"),
        ),
    ),
    Group(
        "Natively",
        "Where `make up` runs the parts without containers, as root.",
        (
            Key(
                "EXPORTER_USER",
                "User of the exporter. Another than its own may read more: docs/exporter.md says what takes root.",
                example="root",
            ),
        ),
    ),
    Group(
        "Containers",
        "These mean nothing where the parts run natively.",
        (
            Key("GRAFANA_PORT", "Port of Grafana, on loopback.", "3000"),
            Key("LOKI_PORT", "Port of Loki, on loopback.", "3100"),
            Key("MONITOR_SUBNET", "Network of the containers, when something else has this one.", "172.16.98.0/24"),
            Key("MONITOR_GATEWAY", "Address of this host in it; the exporter listens there too.", "172.16.98.1"),
        ),
    ),
    *(Group(f"Alerts by {one.title}", one.setup, one.keys) for one in CHANNELS.values()),
)
KEYS = tuple(key for group in GROUPS for key in group.keys)
KNOWN = {key.name: key for key in KEYS}

_ALIKE = 0.85  # PROMETHUES_PORT is a slip of the fingers; PROMETHEUS_IMAGE belongs to docker compose


def problem_with(name: str) -> str:
    """Returns why a name of .env cannot be right, or ''. docker compose reads .env too, so other names may be there."""
    if name in KNOWN:
        return ""
    if alike := difflib.get_close_matches(name, KNOWN, n=1, cutoff=_ALIKE):
        return f"unknown setting {name!r}: write {alike[0]}, if that is meant"
    if name.startswith("VLLM_"):
        known = ", ".join(one for one in sorted(KNOWN) if one.startswith("VLLM_"))
        return f"unknown setting {name!r}; known: {known}. Variables of vLLM itself do not belong here"
    return ""


def check_entries(chosen: Mapping[str, Entry]) -> None:
    """Raises SettingsError for a value that its key does not allow, a key without one it needs, or one too many."""
    for name, entry in chosen.items():
        for needed in KNOWN[name].needs:
            if needed not in chosen:
                raise SettingsError(f"{entry.where}: {name} is set and {needed} is not: set both, or neither")
        if (other := KNOWN[name].instead_of) in chosen:
            raise SettingsError(f"{entry.where}: {name} is set and {other} too: keep one")
        if check := KNOWN[name].check:
            check(entry)
