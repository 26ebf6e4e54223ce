"""Renders prometheus/ of the checkout with the parts' addresses and the user's servers."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from deploy.config.access import SECRETS
from deploy.config.addresses import replace_addresses
from deploy.config.files import read_template
from deploy.config.site import Site
from deploy.config.targets import Target, file_sd
from deploy.errors import SettingsError, TemplateError
from prometheus import guardrails
from prometheus.generated import SourceError

TARGETS = "targets/vllm.json"
_KINDS = ("*.rules.yml", "*.alerts.yml")


def render_prometheus(source: Path, site: Site, targets: tuple[Target, ...]) -> dict[str, str]:
    """Returns relative name -> text. Leaves out what Prometheus does not read: tests, inputs of generated rules."""
    main = source / "prometheus.yml"
    text = replace_addresses(read_template(main), site.addresses, site.addresses, str(main))
    text = _replace_secrets(text, site.secrets["prometheus"], main)
    if TARGETS not in _file_sd_files(text, main):
        raise TemplateError(f"{main}: no scrape job reads its servers from {TARGETS} (file_sd_configs)")
    rules = {
        path.relative_to(source).as_posix(): read_template(path)
        for kind in _KINDS
        for path in sorted(source.rglob(kind))
    }
    rules |= _guardrails(source, rules)
    return {"prometheus.yml": text, TARGETS: file_sd(tuple(map(site.seen, targets))), **rules}


def _guardrails(source: Path, rules: dict[str, str]) -> dict[str, str]:
    """Returns the rules of the user's own guardrails, and takes out what `make rules` once made of them."""
    rules.pop(guardrails.TARGET, None)
    try:
        found = guardrails.read(source)
    except SourceError as error:
        raise SettingsError(f"prometheus/{error}") from error
    return {guardrails.TARGET: guardrails.render(found)} if found else {}


def _replace_secrets(text: str, folder: Path, main: Path) -> str:
    """Sets the absolute paths of the passwords; Prometheus reads the files at each request."""
    for name in SECRETS["prometheus"]:
        written = f'"../../secrets/{name}"'
        if written not in text:
            raise TemplateError(f"{main}: no basic_auth with password_file: {written}; Prometheus could not get in")
        text = text.replace(written, json.dumps(str(folder / name), ensure_ascii=False))
    return text


def _file_sd_files(text: str, main: Path) -> list[str]:
    try:
        config = yaml.safe_load(text)
        return [
            name
            for job in config["scrape_configs"]
            for discovery in job.get("file_sd_configs", [])
            for name in discovery["files"]
        ]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{main}: not a Prometheus configuration: {error}") from error
