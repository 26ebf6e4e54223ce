"""`down`: removes the containers. Data stays in its volumes; with `wipe` it is deleted, and each volume is named."""

from __future__ import annotations

from deploy.compose.engine import Compose
from deploy.errors import ComposeError


def down(compose: Compose, wipe: bool) -> int:
    """Returns 0, also when nothing runs. Raises ComposeError."""
    volumes = compose.volumes()
    if wipe and volumes:
        print("deleting for good:\n" + "".join(f"  volume {name}\n" for name in sorted(volumes)), end="")
    arguments = ["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if wipe else [])]
    if compose.run(*arguments):
        raise ComposeError("docker compose down failed; its words are above")
    if volumes and not wipe:
        print(f"stopped; data is kept in {len(volumes)} volumes: `docker volume ls`; `make down WIPE=1` deletes them")
    return 0
