"""The parts: what is run, with which environment, and where its health is asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.addresses import HOST
from deploy.config.render import Rendered
from deploy.config.settings import Settings
from deploy.native.binaries import find_binary
from deploy.native.layout import Layout

RETENTION = "31d"  # a month can be compared with the one before


@dataclass(frozen=True)
class Program:
    """One part as supervisord runs it."""

    name: str
    command: tuple[str, ...]
    port: int
    health: str  # path that answers 200 when the part works; '' for what does not listen
    environment: Mapping[str, str]
    reloads: Path | None = None  # directory whose change a SIGHUP applies; None: a change restarts it
    autorestart: str = "true"  # or unexpected, supervisord's default: not after exit code 0
    stop_seconds: int = 20  # from SIGTERM to SIGKILL: Prometheus writes its head to disk first

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def choose_programs(layout: Layout, settings: Settings, rendered: Rendered) -> tuple[Program, ...]:
    """In the order in which they start: who is told first, who tells last."""
    return (
        _alertmanager(layout, settings.ports.alertmanager, rendered),
        _healer(layout, settings, rendered),
        _exporter(layout, settings, rendered),
        _prometheus(layout, settings.ports.prometheus, rendered),
    )


def _alertmanager(layout: Layout, port: int, rendered: Rendered) -> Program:
    command = (
        find_binary("alertmanager"),
        f"--config.file={rendered.file('alertmanager')}",
        f"--storage.path={layout.data('alertmanager')}",
        f"--web.listen-address={HOST}:{port}",
        f"--web.external-url=http://{HOST}:{port}",  # in messages; the default names this host, not loopback
        "--cluster.listen-address=",  # one instance: no gossip port
    )
    return Program("alertmanager", command, port, "/-/ready", {}, reloads=rendered.file("alertmanager").parent)


def _prometheus(layout: Layout, port: int, rendered: Rendered) -> Program:
    command = (
        find_binary("prometheus"),
        f"--config.file={rendered.file('prometheus')}",
        f"--storage.tsdb.path={layout.data('prometheus')}",
        # What fires before Prometheus has found Alertmanager is sent again after this; the healer waits for Watchdog
        "--rules.alert.resend-delay=15s",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={HOST}:{port}",
        f"--web.external-url=http://{HOST}:{port}",  # in messages; the default names this host, not loopback
    )
    return Program("prometheus", command, port, "/-/ready", {}, reloads=rendered.file("prometheus").parent)


def _exporter(layout: Layout, settings: Settings, rendered: Rendered) -> Program:
    return _own("exporter", layout, settings.ports.exporter, rendered, {})


def _healer(layout: Layout, settings: Settings, rendered: Rendered) -> Program:
    """A proxy for the internet does not reach our loopback."""
    others = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
    unproxied = ",".join(filter(None, (HOST, "localhost", others)))
    return _own("healer", layout, settings.ports.healer, rendered, {"NO_PROXY": unproxied, "no_proxy": unproxied})


def _own(part: str, layout: Layout, port: int, rendered: Rendered, environment: Mapping[str, str]) -> Program:
    """A part of this repository: changed code or configuration restarts it."""
    file, name = rendered.file(part), f"vllm-{part}"
    command = (str(layout.program(name)), "serve", "--config", str(file), "--listen", f"{HOST}:{port}")
    changes = digest(file, layout.root / part / name.replace("-", "_"))
    return Program(part, command, port, "/-/ready", {**environment, "CONFIG_DIGEST": changes})


def digest(*paths: Path) -> str:
    """Of files and of the Python files below directories: part of the environment, so that a change restarts."""
    found = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    content = hashlib.sha256()
    for file in found:
        content.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]
