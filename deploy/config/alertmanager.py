"""Renders alertmanager/ of the checkout with the healer's address and token, and the user's channels to people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from deploy.config.access import TOKEN
from deploy.config.addresses import replace_addresses
from deploy.config.files import read_template
from deploy.config.mute import NAME, Mute
from deploy.config.people import ONCE, People
from deploy.config.routes import PEOPLE, route_to_people
from deploy.config.site import Site
from deploy.errors import TemplateError

HEALER = "healer"
_GRAFANA = '"http://127.0.0.1:3000"'  # in the templates


def render_alertmanager(source: Path, site: Site, people: People, grafana: str = "") -> dict[str, str]:
    """Returns relative name -> text: alertmanager.yml and the templates. Raises TemplateError.

    `grafana`: its address, for links in messages; without one they have no link to it.
    """
    main = source / "alertmanager.yml"
    config = _parse(replace_addresses(read_template(main), site.addresses, ["healer"], str(main)), main)
    receivers = _receivers(config, main)
    _set_token(receivers[HEALER], site.secrets["alertmanager"] / TOKEN, main)
    for name, told in ((PEOPLE, people), (f"{PEOPLE}{ONCE}", people.once())):
        if name in receivers:
            receivers[name].update(told.blocks())
            config["receivers"] += [{"name": one.name, one.kind: [dict(one.block)]} for one in told.choosy()]
            config["route"] = route_to_people(config["route"], told.choosy(), told.mute, name)
    if people.mute:
        config["time_intervals"] = [*config.get("time_intervals", []), _time_interval(people.mute)]
    link = json.dumps(grafana, ensure_ascii=False)
    templates = {
        path.relative_to(source).as_posix(): read_template(path).replace(_GRAFANA, link)
        for path in sorted(source.glob("templates/*.tmpl"))
    }
    head = "# Rendered from alertmanager/alertmanager.yml and .env: change those, then `make up`.\n"
    return {
        "alertmanager.yml": head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120),
        **templates,
    }


def _time_interval(mute: Mute) -> dict[str, object]:
    return {"name": NAME, "time_intervals": list(mute.intervals)}


def _receivers(config: dict[str, Any], main: Path) -> dict[str, dict[str, object]]:
    listed = config.get("receivers")
    receivers = {str(item["name"]): item for item in listed if "name" in item} if isinstance(listed, list) else {}
    for name in (HEALER, PEOPLE):
        if name not in receivers:
            raise TemplateError(f"{main}: no receiver {name!r}; there are: {', '.join(receivers) or 'none'}")
    if not isinstance(config.get("route"), dict):
        raise TemplateError(f"{main}: no route: put it back, nobody would be told")
    return receivers


def _set_token(receiver: dict[str, object], token_file: Path, main: Path) -> None:
    """Sets the absolute path of the rendered secret; Alertmanager reads the file at each notification."""
    match receiver:
        case {"webhook_configs": [{"http_config": {"authorization": dict(authorization)}}]}:
            authorization["credentials_file"] = str(token_file)
        case _:
            raise TemplateError(f"{main}: receiver {HEALER!r} needs exactly one webhook with http_config.authorization")


def _parse(text: str, main: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"{main}: not YAML: {error}") from error
    if not isinstance(config, dict):
        raise TemplateError(f"{main}: expected a mapping at the top")
    return config
