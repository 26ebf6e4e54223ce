"""`down`: stops every part and keeps all data."""

from __future__ import annotations

import psutil

from deploy.errors import NativeError
from deploy.native.layout import Layout
from deploy.native.leftovers import find_leftovers, stop_leftovers
from deploy.native.supervisor import Supervisor

_STOP_SECONDS = 60.0  # supervisord gives each part 20 s, one after the other


def down(layout: Layout) -> int:
    """Stops also what a killed supervisord left behind. Returns 0, also when nothing runs."""
    supervisor = Supervisor(layout)
    pid = supervisor.pid()
    if pid:
        supervisor.shutdown()
        _wait_for(pid)
    leftovers = find_leftovers(layout.server_url)
    stop_leftovers(leftovers)
    if pid:
        print(f"stopped; data is kept in {layout.run}")
    elif leftovers:
        print(
            f"supervisord had been killed; stopped {len(leftovers)} processes that it left behind; "
            f"data is kept in {layout.run}"
        )
    else:
        print("nothing was running")
    return 0


def _wait_for(pid: int) -> None:
    try:
        psutil.Process(pid).wait(timeout=_STOP_SECONDS)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise NativeError(
            f"supervisord (pid {pid}) still runs {_STOP_SECONDS:.0f} s after it was told to stop: `kill {pid}`"
        ) from error
