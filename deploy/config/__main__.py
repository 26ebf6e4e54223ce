"""python -m deploy.config volumes|page"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from deploy.config.pages import compose_env, env_example, settings_page
from deploy.config.settings import load_settings
from deploy.config.versions import version_of_image
from deploy.config.volumes import fill_volumes
from deploy.errors import DeployError

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _COMMANDS[arguments.command](arguments)
    except DeployError as error:
        print(f"deploy.config: {error}", file=sys.stderr)
        return 1


def _volumes(arguments: argparse.Namespace) -> int:
    """Runs as the service `config` of docker-compose.yml, which has the host's name. `make up` reads its last line."""
    hostname = socket.gethostname()
    settings = load_settings(arguments.env, os.environ, hostname)
    image = os.environ.get("ALERTMANAGER_IMAGE", "")
    settings.people.check_version(version_of_image(image), f"choose another than ALERTMANAGER_IMAGE={image}")
    filled = fill_volumes(arguments.env.absolute().parent, arguments.out, settings, hostname)
    said = f"{hostname} watches {', '.join(filled.targets)}; people: {filled.people}"
    print(said, *(f"warning: {one}" for one in filled.warnings), filled.line(), sep="\n")
    return 0


def _page(arguments: argparse.Namespace) -> int:
    print(_PAGES[arguments.page](), end="")
    return 0


_PAGES = {"settings": settings_page, "env-example": env_example, "compose-env": compose_env}
_COMMANDS = {"volumes": _volumes, "page": _page}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.config", description="Renders .env into configuration.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "volumes", help="write configuration and secrets into the volumes of docker-compose.yml"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the volumes are mounted")
    command.add_argument("--env", type=Path, default=ROOT / ".env", metavar="FILE", help="default .env")
    command = commands.add_parser("page", help="print a file that `make docs` writes")
    command.add_argument("page", choices=_PAGES)
    return parser


if __name__ == "__main__":
    sys.exit(main())
