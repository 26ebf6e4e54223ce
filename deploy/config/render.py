"""Renders all of `.run/config` and `.run/secrets` from the checkout and the user's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.config.access import ADMIN, GUARDED, SECRETS, TOKEN, WEB, password_name
from deploy.config.addresses import HOST
from deploy.config.alertmanager import render_alertmanager
from deploy.config.carried import Carrier, read_own
from deploy.config.compare import compare_servers, list_healed
from deploy.config.files import keep_secret, read_secret, run_directory, sync_directory
from deploy.config.grafana import PASSWORD, address, render_grafana
from deploy.config.parts import choose_mode, choose_servers, render_exporter, render_healer
from deploy.config.prometheus import render_prometheus
from deploy.config.settings import Settings
from deploy.config.site import Site, native_site
from deploy.config.sources import Source, listed_servers, read_source
from deploy.config.targets import Target
from deploy.config.web import render_access

_NAMING_FILES = ("exporter", "alertmanager")  # whose configuration may name files of the user's


@dataclass(frozen=True)
class Computed:
    """The files to write, and what they were made from."""

    files: Mapping[str, Mapping[str, str]]  # part -> name -> text
    targets: tuple[Target, ...]
    chosen: bool  # True if the user named the targets, in .env or in exporter.yml
    warnings: tuple[str, ...]  # of what is allowed and probably not wanted
    healer: Source


@dataclass(frozen=True)
class Rendered:
    """The place of the rendered files, and the changes of the last run."""

    config: Path  # the directory that holds it all
    secrets: Path  # the directory of tokens and passwords
    computed: Computed
    changed: tuple[str, ...]  # names under config/

    @property
    def token(self) -> Path:
        """The secret between Alertmanager and the healer."""
        return self.secrets / TOKEN

    def password(self, part: str) -> Path:
        """The password that Prometheus or Alertmanager asks for."""
        return self.secrets / password_name(part)

    def file(self, part: str) -> Path:
        """Returns the configuration that a part is started with."""
        own = self.config / f"{part}.yml"
        return own if part in ("exporter", "healer") else self.config / part / f"{part}.yml"


def render(
    root: Path,
    home: Path,
    out: Path,
    settings: Settings,
    hostname: str,
    apart: Collection[str] = (),
    with_grafana: bool = False,
) -> Rendered:
    """Renders the checkout (`root`) and the user's files in `home` into `out`. An error leaves the old files whole.

    `apart`: parts that run as another user, who gets copies of the files that the configuration names.
    `with_grafana`: one runs beside the parts, and messages link to it.
    """
    out = out.resolve()
    site = native_site(settings.ports, out)
    if with_grafana:
        settings = replace(settings, grafana_url=address(settings.grafana_port))
    computed = compute(root, home, settings, hostname, site)
    run_directory(out)
    for name in SECRETS["healer"]:
        keep_secret(out / "secrets" / name)
    parts = {**computed.files, **_with_access(computed.files, out)}
    parts |= {part: _carried(part, parts[part], out / "config") for part in apart if part in _NAMING_FILES}
    if with_grafana:
        parts["grafana"] = _grafana_files(root, out, settings, site)
    files = {_native_name(part, name): text for part, texts in parts.items() for name, text in texts.items()}
    changed = sync_directory(out / "config", files)
    return Rendered(out / "config", out / "secrets", computed, changed)


def _grafana_files(root: Path, out: Path, settings: Settings, site: Site) -> dict[str, str]:
    config, prometheus = out / "config" / "grafana", site.addresses["prometheus"]
    files = render_grafana(root / "grafana", config, out / "data" / "grafana", settings.grafana_port, prometheus)
    files[PASSWORD] = read_secret(keep_secret(out / "secrets" / ADMIN))
    return files | {name: read_secret(out / "secrets" / name) for name in SECRETS["grafana"]}


def _with_access(files: Mapping[str, Mapping[str, str]], out: Path) -> dict[str, dict[str, str]]:
    """Returns the guarded parts' files with their secrets, and with those by which they ask for a password."""
    kept = {name: read_secret(out / "secrets" / name) for name in SECRETS["healer"]}
    access = {}
    for part in GUARDED:
        folder = out / "config" / part
        web = render_access(part, kept[password_name(part)], read_secret(folder / WEB), folder)
        access[part] = {**files[part], **{name: kept[name] for name in SECRETS[part]}, **web}
    return access


def _carried(part: str, texts: Mapping[str, str], config: Path) -> dict[str, str]:
    """Returns the part's files with copies of those that its configuration names."""
    main = f"{part}.yml"
    carrier = Carrier(read_own, config if part == "exporter" else config / part)
    return {**texts, main: carrier.carry(texts[main]), **carrier.files}


def compute(root: Path, home: Path, settings: Settings, hostname: str, site: Site) -> Computed:
    """Computes every file and writes none. Raises DeployError."""
    exporter, healer = read_source(root, home, "exporter"), read_source(root, home, "healer")
    servers = choose_servers(settings.targets, listed_servers(exporter, hostname), hostname)
    targets = tuple(one.target for one in servers)
    files = {
        "exporter": {"exporter.yml": render_exporter(exporter, settings, servers, site)},
        "healer": {"healer.yml": render_healer(healer, settings, servers, site)},
        "prometheus": render_prometheus(root / "prometheus", site, targets),
        "alertmanager": render_alertmanager(root / "alertmanager", site, settings.people, _grafana(settings, site)),
    }
    warnings = compare_servers(
        [target.server for target in targets],
        list_healed(healer, hostname),
        acts=choose_mode(healer, settings) == "act",
        watched_by="`targets` in exporter.yml" if exporter.users and not settings.targets else "VLLM_TARGETS in .env",
    )
    return Computed(
        files, targets, bool(settings.targets) or exporter.users, (*warnings, *settings.people.warnings()), healer
    )


def _grafana(settings: Settings, site: Site) -> str:
    """Returns the address for links in messages; '' where `make up` runs none and none is named."""
    return settings.grafana_url or (f"http://{HOST}:{settings.grafana_port}" if site.contained else "")


def _native_name(part: str, name: str) -> str:
    """Returns the name below config/: our parts have one file each, the others a directory of their own."""
    return name if part in ("exporter", "healer") else f"{part}/{name}"
