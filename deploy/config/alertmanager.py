"""Renders alertmanager/ of the checkout with the healer's address and token, and the user's channels to people."""

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.config.access import TOKEN
from deploy.config.addresses import replace_addresses
from deploy.config.files import read_template
from deploy.config.people import People
from deploy.config.site import Site
from deploy.errors import TemplateError

PEOPLE = "human"  # the receiver that the user's channels go into
HEALER = "healer"


def render_alertmanager(source: Path, site: Site, people: People) -> dict[str, str]:
    """Returns relative name -> text: alertmanager.yml and the templates. Raises TemplateError."""
    main = source / "alertmanager.yml"
    config = _parse(replace_addresses(read_template(main), site.addresses, ["healer"], str(main)), main)
    receivers = _receivers(config, main)
    _set_token(receivers[HEALER], site.secrets["alertmanager"] / TOKEN, main)
    receivers[PEOPLE].update(people.blocks())
    templates = {
        path.relative_to(source).as_posix(): read_template(path) for path in sorted(source.glob("templates/*.tmpl"))
    }
    head = "# Rendered from alertmanager/alertmanager.yml and .env: change those, then `make up`.\n"
    return {
        "alertmanager.yml": head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120),
        **templates,
    }


def _receivers(config: dict[str, object], main: Path) -> dict[str, dict[str, object]]:
    listed = config.get("receivers")
    receivers = {str(item["name"]): item for item in listed if "name" in item} if isinstance(listed, list) else {}
    for name in (HEALER, PEOPLE):
        if name not in receivers:
            raise TemplateError(f"{main}: no receiver {name!r}; there are: {', '.join(receivers) or 'none'}")
    return receivers


def _set_token(receiver: dict[str, object], token_file: Path, main: Path) -> None:
    """Sets the absolute path of the rendered secret; Alertmanager reads the file at each notification."""
    match receiver:
        case {"webhook_configs": [{"http_config": {"authorization": dict(authorization)}}]}:
            authorization["credentials_file"] = str(token_file)
        case _:
            raise TemplateError(f"{main}: receiver {HEALER!r} needs exactly one webhook with http_config.authorization")


def _parse(text: str, main: Path) -> dict[str, object]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"{main}: not YAML: {error}") from error
    if not isinstance(config, dict):
        raise TemplateError(f"{main}: expected a mapping at the top")
    return config
