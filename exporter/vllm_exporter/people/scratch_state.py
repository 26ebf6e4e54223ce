"""Gives a command that only looks a copy of the service's state directory, so that it writes nothing there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vllm_exporter.config.config import CollectorConfig, Config
from vllm_exporter.state import MAX_SIZE
from vllm_exporter.trust import read_plain

# Files in which collectors remember from one start to the next: who started whom, states, how long servers may be
# silent, where logs were read to. The file of events is not among them: nothing here reads it.
KEPT = ("processes.json", "lifecycle.json", "probe.json", "inside.json", "logs.json")
RELEASE = "gpu.release"  # while it exists the GPU collector leaves the driver alone; a link shows it when it appears


@contextmanager
def own_config(config: Config) -> Iterator[Config]:
    """Yields the configuration with a temporary copy of the state directory; events go to no other file or program.

    A file that this user may not read is left out, as at a first start. Where no copy can be made, nothing is
    remembered.
    """
    events = replace(config.collectors.get("events", CollectorConfig()), options={})
    own = replace(config, collectors={**config.collectors, "events": events})
    try:
        folder = tempfile.TemporaryDirectory(prefix="vllm-exporter-", ignore_cleanup_errors=True)
    except OSError:  # a read-only root without /tmp
        yield replace(own, state_dir="")
        return
    with folder as path:
        copy_state(config.state_dir, Path(path))
        yield replace(own, state_dir=path)


def copy_state(state_dir: str, to: Path) -> None:
    """Copies the files of KEPT from one directory to another; those that cannot be read are left out."""
    if not state_dir:
        return
    (to / RELEASE).symlink_to(Path(state_dir).absolute() / RELEASE)
    for name in KEPT:
        try:
            (to / name).write_bytes(read_plain(Path(state_dir) / name, MAX_SIZE))
        except OSError:
            continue
