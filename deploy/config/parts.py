"""Renders exporter.yml and healer.yml as the parts run with them: with this machine's addresses and paths."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from deploy.config.access import GUARDED, OPERATOR_TOKEN, READ_TOKEN, TOKEN, basic_auth
from deploy.config.keys import KNOWN
from deploy.config.settings import Settings
from deploy.config.site import Site
from deploy.config.sources import Listed, Source
from deploy.config.targets import Target, parse_targets


def choose_servers(targets: tuple[Target, ...], listed: tuple[Listed, ...], hostname: str) -> tuple[Listed, ...]:
    """Returns the servers of VLLM_TARGETS, else those of exporter.yml, else the port where vLLM serves by default.

    A server of VLLM_TARGETS that exporter.yml lists too keeps the options it has there.
    """
    known = {one.target.server: one for one in listed}
    chosen = tuple(known.get(target.server, Listed(target)) for target in targets)
    default = parse_targets(KNOWN["VLLM_TARGETS"].default, hostname, "default")
    return chosen or listed or tuple(map(Listed, default))


def choose_mode(source: Source, settings: Settings) -> object:
    """Returns the healer's mode: that of .env, else that of healer.yml. Whether it is one is for the healer to say."""
    return settings.passed.get("healer", {}).get("VLLM_HEALER_MODE") or source.values.get("mode")


def render_exporter(source: Source, settings: Settings, servers: tuple[Listed, ...], site: Site) -> str:
    given = settings.passed.get("exporter", {})
    common = {key: given[name] for key, name in _FILES.items() if name in given}
    targets = [{"address": one.target.address, "scheme": one.target.scheme, **common, **one.options} for one in servers]
    own = {"listen": site.listen["exporter"], "targets": targets, "state_dir": str(site.state["exporter"])}
    return _dump(source, {**own, **_inside(source, settings, site)})


def _inside(source: Source, settings: Settings, site: Site) -> dict[str, object]:
    """Returns the collectors with the directory of vLLM's counts. In containers it is mounted where the default is."""
    collectors = source.values.get("collectors") or {}
    if site.contained or not settings.monitor_dir or not isinstance(collectors, dict):
        return {}
    inside = collectors.get("inside") or {}
    own = {"directory": settings.monitor_dir}
    return {"collectors": {**collectors, "inside": {**inside, **own}}} if isinstance(inside, dict) else {}


def render_healer(source: Source, settings: Settings, servers: tuple[Listed, ...], site: Site) -> str:
    """Keeps the journal where the user has put it, except in containers. A mode in .env goes before the file's."""
    journal = "" if site.contained else source.values.get("journal")
    mode = choose_mode(source, settings)
    own = {
        "listen": site.listen["healer"],
        "token_file": str(site.secrets["healer"] / TOKEN),
        "operator_token_file": str(site.secrets["healer"] / OPERATOR_TOKEN),
        "read_token_file": str(site.secrets["healer"] / READ_TOKEN),
        "journal": journal or str(site.state["healer"] / "journal.sqlite"),
        "prometheus_url": f"http://{site.addresses['prometheus']}",
        "alertmanager_url": f"http://{site.addresses['alertmanager']}",
        **{f"{part}_http_config": {"basic_auth": basic_auth(part, site.secrets["healer"])} for part in GUARDED},
        **({"mode": mode} if mode else {}),
        "watched": [one.target.server for one in servers],
        **with_seen_urls(source.values.get("targets"), site),
    }
    return _dump(source, own)


def with_seen_urls(targets: object, site: Site) -> dict[str, object]:
    """Returns targets with loopback URLs rewritten for containers. The healer refuses malformed ones later."""
    if not site.contained or not isinstance(targets, list):
        return {}
    return {"targets": [_with_seen_url(target, site) if isinstance(target, dict) else target for target in targets]}


def _with_seen_url(target: dict[str, object], site: Site) -> dict[str, object]:
    """Rewrites both the URL of the server and that of its supervisor."""
    seen: dict[str, object] = {"url": site.seen_url(str(target.get("url") or f"http://{target.get('server')}"))}
    match target.get("options"):
        case {"url": str(control), **others}:
            seen["options"] = {**others, "url": site.seen_url(control)}
    return {**target, **seen}


_FILES = {"api_key_file": "VLLM_API_KEY_FILE", "ca_file": "VLLM_CA_FILE"}  # for the servers that have none of their own


def _dump(source: Source, own: Mapping[str, object]) -> str:
    head = f"# Rendered from {source.path} and .env: change those, then `make up`.\n"
    return head + yaml.safe_dump({**source.values, **own}, sort_keys=False, allow_unicode=True, width=120)
