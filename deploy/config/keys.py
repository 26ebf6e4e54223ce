"""The table of all settings that .env and the environment may carry, in groups."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.config import channels
from deploy.config.channel import Channel, load_channels
from deploy.config.dotenv import Entry
from deploy.config.hearing import check_severities, components_key, severities_key
from deploy.config.key import Key, check_directory, check_url
from deploy.config.mute import DEFAULT_SEVERITIES, check_zone
from deploy.errors import SettingsError

MUTE_TIMES, MUTE_SEVERITIES, MUTE_ZONE = "ALERT_MUTE_TIMES", "ALERT_MUTE_SEVERITIES", "ALERT_MUTE_TIME_ZONE"
GRAFANA_URL = "GRAFANA_URL"


@dataclass(frozen=True)
class Group:
    """Keys that belong together, under a heading of docs/settings.md and .env.example."""

    title: str
    words: str
    keys: tuple[Key, ...]


def keys_of(channel: Channel) -> tuple[Key, ...]:
    """Returns its own keys, and those that every channel has."""
    return (*channel.keys, severities_key(channel.prefix), components_key(channel.prefix))


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
                "VLLM_MONITOR_DIR",
                "Directory in which vLLM's own processes hand over their counts (docs/inside-vllm.md). Where it is "
                "another, vLLM needs the same variable.",
                "/run/vllm-monitor",
                check=check_directory,
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
            Key("GRAFANA_PORT", "Port of Grafana: that of the containers, or one that is installed.", "3000"),
        ),
    ),
    Group(
        "Natively",
        "Where `make up` runs the parts without containers.",
        (
            Key(
                "GRAFANA_TOKEN_FILE",
                "File with the token of a service account, role Admin, of the Grafana at GRAFANA_URL: "
                "`make up` puts the boards and their data source into it.",
                example="secrets/grafana_token",
                file=True,
                needs=(GRAFANA_URL,),
            ),
            Key(
                "EXPORTER_USER",
                "User of the exporter, as root. Another than its own may read more: "
                "docs/exporter.md says what takes root.",
                example="root",
            ),
        ),
    ),
    Group(
        "Containers",
        "These mean nothing where the parts run natively.",
        (
            Key("LOKI_PORT", "Port of Loki, on loopback.", "3100"),
            Key("MONITOR_SUBNET", "Network of the containers, when something else has this one.", "172.16.98.0/24"),
            Key("MONITOR_GATEWAY", "Address of this host in it; the exporter listens there too.", "172.16.98.1"),
        ),
    ),
    Group(
        "Alerts by every channel",
        "One more receiver of a kind: its keys once more in `.env`, with `_2` behind their names, then `_3` and so on. "
        "What it leaves out is as in the first, but for severities and components.",
        (
            Key(
                GRAFANA_URL,
                "Address of Grafana as people reach it, for links. Without it: that of `make up`. "
                "Natively, none is started where this names one.",
                example="https://grafana.example.org",
                check=check_url,
            ),
            Key(
                MUTE_TIMES,
                "Windows in which people are not told of what can wait. The healer hears of it all the same.",
                example="Mon-Fri 22:00-06:00; Sat,Sun 00:00-24:00",
            ),
            Key(
                MUTE_SEVERITIES,
                "What can wait.",
                DEFAULT_SEVERITIES,
                needs=(MUTE_TIMES,),
                check=check_severities,
            ),
            Key(
                MUTE_ZONE,
                "Time zone of the windows.",
                "UTC",
                needs=(MUTE_TIMES,),
                check=check_zone,
            ),
        ),
    ),
    *(Group(f"Alerts by {one.title}", one.setup, keys_of(one)) for one in CHANNELS.values()),
)
KEYS = tuple(key for group in GROUPS for key in group.keys)
KNOWN = {key.name: key for key in KEYS}
_OF_CHANNELS = {key.name for channel in CHANNELS.values() for key in keys_of(channel)}
_NUMBERED = re.compile(r"(.+)(_[2-9]|_[1-9]\d)")

_ALIKE = 0.85  # PROMETHUES_PORT is a slip of the fingers; PROMETHEUS_IMAGE belongs to docker compose


def split_name(name: str) -> tuple[str, str]:
    """Returns the name of a key, and '_2' to '_99' for one more receiver of its channel, else ''."""
    match = _NUMBERED.fullmatch(name)
    return (match[1], match[2]) if match and match[1] in _OF_CHANNELS else (name, "")


def find_key(name: str) -> Key | None:
    return KNOWN.get(split_name(name)[0])


def problem_with(name: str) -> str:
    """Returns why a name of .env cannot be right, or ''. docker compose reads .env too, so other names may be there."""
    if find_key(name):
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
        base, suffix = split_name(name)
        for needed in KNOWN[base].needs:
            if needed + suffix not in chosen and needed not in chosen:  # the first receiver's will do
                raise SettingsError(f"{entry.where}: {name} is set and {needed} is not: set both, or neither")
        if KNOWN[base].instead_of and (other := KNOWN[base].instead_of + suffix) in chosen:
            raise SettingsError(f"{entry.where}: {name} is set and {other} too: keep one")
        if check := KNOWN[base].check:
            check(entry)
