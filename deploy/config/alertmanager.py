"""alertmanager/ of the checkout with the healer's address and token, and the user's channels to people."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import yaml

from deploy.config.addresses import replace_addresses
from deploy.config.files import read_template
from deploy.config.people import Mail, People
from deploy.config.site import Site
from deploy.errors import TemplateError

PEOPLE = "human"  # the receiver that the user's channels go into
HEALER = "healer"

# Defined in alertmanager/templates/.
_TITLE = '{{ template "vllm.title" . }}'
_TEXT = '{{ template "vllm.text" . }}'

Block: TypeAlias = dict[str, object]


def render_alertmanager(source: Path, site: Site, people: People) -> dict[str, str]:
    """Relative name -> text: alertmanager.yml and the templates."""
    main = source / "alertmanager.yml"
    config = _parse(replace_addresses(read_template(main), site.addresses, ["healer"], str(main)), main)
    receivers = _receivers(config, main)
    _set_token(receivers[HEALER], site.token["alertmanager"], main)
    receivers[PEOPLE].update(people_blocks(people))
    templates = {
        path.relative_to(source).as_posix(): read_template(path) for path in sorted(source.glob("templates/*.tmpl"))
    }
    head = "# Rendered from alertmanager/alertmanager.yml and .env: change those, then `make up`.\n"
    return {
        "alertmanager.yml": head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120),
        **templates,
    }


def people_blocks(people: People) -> dict[str, list[Block]]:
    """The receiver's *_configs; empty without channels. Only fields that Alertmanager 0.25 knows."""
    blocks: dict[str, list[Block]] = {}
    if people.slack_url_file:
        blocks["slack_configs"] = [
            {"api_url_file": people.slack_url_file, "send_resolved": True, "title": _TITLE, "text": _TEXT}
        ]
    if people.webhook_url:
        blocks["webhook_configs"] = [{"url": people.webhook_url, "send_resolved": True}]
    if people.mail:
        blocks["email_configs"] = [_mail(people.mail)]
    return blocks


def _mail(mail: Mail) -> Block:
    login = {"auth_username": mail.username, "auth_password_file": mail.password_file} if mail.username else {}
    return {
        "to": mail.to,
        "from": mail.sender,
        "smarthost": mail.smarthost,
        "require_tls": mail.require_tls,
        "send_resolved": True,
        "headers": {"Subject": _TITLE},
        "html": "",  # text alone: it reads the same in every client
        "text": _TEXT,
        **login,
    }


def _receivers(config: Block, main: Path) -> dict[str, Block]:
    listed = config.get("receivers")
    receivers = {str(item["name"]): item for item in listed if "name" in item} if isinstance(listed, list) else {}
    for name in (HEALER, PEOPLE):
        if name not in receivers:
            raise TemplateError(f"{main}: no receiver {name!r}; there are: {', '.join(receivers) or 'none'}")
    return receivers


def _set_token(receiver: Block, token_file: Path, main: Path) -> None:
    """The absolute path of the rendered secret; Alertmanager reads the file at each notification."""
    match receiver:
        case {"webhook_configs": [{"http_config": {"authorization": dict(authorization)}}]}:
            authorization["credentials_file"] = str(token_file)
        case _:
            raise TemplateError(f"{main}: receiver {HEALER!r} needs exactly one webhook with http_config.authorization")


def _parse(text: str, main: Path) -> Block:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"{main}: not YAML: {error}") from error
    if not isinstance(config, dict):
        raise TemplateError(f"{main}: expected a mapping at the top")
    return config
