"""Makes the demo's exporter.yml and healer.yml: as shipped, but warm at once, and with short brakes."""

from __future__ import annotations

import yaml

from deploy.demo.world import World

START_TIMEOUT = 45  # seconds; `slow_start` takes 30, and who does not come up shall be told in the demo's time

# What decides whether an engine is stalled stays as shipped: the seconds that the demo shows are those of production.
_EXPORTER = {"probe": {"warmup_seconds": 1}}  # a simulated engine compiles nothing

_HEALER = {
    "mode": "act",
    "limits": {
        "cooldown_seconds": {"restart_engine": 10, "reap_orphans": 10},
        # whoever plays breaks one server often, and each of them
        **dict.fromkeys(("budget_per_hour", "budget_per_hour_in_all", "breaker_after", "blast_radius_percent"), 100),
        "reopen_after": 25,  # VllmDown of the restart itself is over 20 s after it
    },
    "reconcile_seconds": 5,  # what a person does by hand is seen before the next sentence
}


def exporter_yml() -> str:
    return yaml.safe_dump(_EXPORTER)


def healer_yml(world: World) -> str:
    """Lets the healer act on the demo's servers through the demo's own supervisord."""
    targets = [
        {
            "server": server.name,
            "url": f"http://127.0.0.1:{server.port}",
            "actuator": "supervisord",
            "options": {"url": world.layout.server_url, "program": server.program},
            "start_timeout": START_TIMEOUT,
        }
        for server in world.servers
    ]
    remediations = ["notify_only", "reap_orphans", "restart_engine"]
    return yaml.safe_dump({**_HEALER, "remediations": remediations, "targets": targets}, sort_keys=False)
