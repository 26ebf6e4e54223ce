"""`up`: renders the configuration, starts what does not run, replaces what changed, waits until each part is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploy.compose.engine import Compose
from deploy.compose.report import report
from deploy.config.filled import Filled, parse_filled
from deploy.errors import ComposeError

_LOG_LINES = "15"
_WHAT_NEXT = (
    "The other parts keep running. Correct the cause and `make up` again, or `make down`; "
    "`make up NATIVE=1` runs everything without containers."
)


def up(compose: Compose, services: Sequence[str], environ: Mapping[str, str]) -> int:
    """Returns the exit code. Raises ComposeError with what stopped it."""
    filled = fill(compose)
    env = {
        **{f"DIGEST_{part.upper().replace('-', '_')}": value for part, value in filled.digests.items()},
        "COMPOSE_PROFILES": merge_profiles(environ.get("COMPOSE_PROFILES", ""), filled.profiles),
    }
    if compose.run("up", "-d", "--build", "--wait", "--remove-orphans", *services, env=env):
        raise ComposeError(f"{troubles(compose)}{_WHAT_NEXT}")
    print(report(filled, compose.containers()))
    return 0


def fill(compose: Compose) -> Filled:
    """Renders the configuration before anything is started, so that a mistake in a setting stops nothing that runs."""
    answer = compose.ask("run", "--rm", "--build", "--no-TTY", "config")
    if answer.code:
        raise ComposeError(f"the configuration could not be rendered:\n{answer.err.strip()[-3000:]}")
    return parse_filled(answer.out)


def merge_profiles(chosen: str, wanted: Sequence[str]) -> str:
    names = [name.strip() for name in chosen.split(",")] + list(wanted)
    return ",".join(dict.fromkeys(filter(None, names)))


def troubles(compose: Compose) -> str:
    """Returns the end of the log of each part that is not well."""
    said = ""
    for container in compose.containers():
        if is_well(container):
            continue
        service = str(container["Service"])
        lines = compose.ask("logs", "--no-log-prefix", "--tail", _LOG_LINES, service).out
        said += f"{service} ({container['Status']}). The end of its log:\n"
        said += "".join(f"  | {line}\n" for line in lines.splitlines())
    return said


def is_well(container: Mapping[str, object]) -> bool:
    """True if it is healthy, or has ended without an error, as `config` does."""
    if container.get("State") == "running":
        return container.get("Health") in ("healthy", "")
    return container.get("State") == "exited" and container.get("ExitCode") == 0
