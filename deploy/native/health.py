"""Health: asks the parts on loopback, waits for them at the start, and reads what they say of the servers."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.config.access import USER
from deploy.config.addresses import HOST
from deploy.config.files import read_secret
from deploy.config.targets import Target
from deploy.errors import NativeError
from deploy.native.layout import Layout
from deploy.native.ports import is_free, is_trusted, owner
from deploy.native.programs import Program
from deploy.native.supervisor import Supervisor

START_SECONDS = 60.0  # Prometheus replays its write-ahead log first; a month of a small fleet takes about ten
_ANSWER_SECONDS = 2.0  # a part on this machine that takes longer is not well
_FIRST_PROBE_SECONDS = 6.0  # a probe gives up after 5
_POLL_SECONDS = 0.1
_LOG_LINES = 15

_STATES = {
    "ok": "ready",
    "refused": "down: connection refused",
    "timeout": "no answer from /health in time",
    "503": "up, but /health answers 503: starting, or its engine has died",
    "other": "no usable answer from /health; the exporter's log says why",
}


def get(port: int, path: str, password_file: Path | None = None) -> tuple[int, str] | None:
    """Returns status and body, or None when nobody answers. Goes past any proxy that the environment names.

    The password goes to root's and this user's processes alone; a stranger's counts as no answer.
    """
    if password_file and not is_trusted(port):
        return None
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers=_authorization(password_file))
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def is_healthy(port: int, path: str, password_file: Path | None = None) -> bool:
    """True if the answer is 200."""
    return (get(port, path, password_file) or (0, ""))[0] == 200


def wait_for(ready: Callable[[], bool], seconds: float) -> bool:
    """Asks `ready` until it is true or the time is over, at least once. Returns its last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := ready()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return answer


def wait_until_healthy(layout: Layout, supervisor: Supervisor, programs: Iterable[Program]) -> None:
    """Raises NativeError with the last log lines of the first part that failed or took too long."""
    deadline = time.monotonic() + START_SECONDS
    for program in (one for one in programs if one.health):
        wait_for(partial(_is_decided, supervisor, program), deadline - time.monotonic())
        if not is_healthy(program.port, program.health, program.password_file):
            raise NativeError(_failure(layout, supervisor, program))
    # All answer; supervisord says RUNNING after its startsecs, and so will `status`.
    wait_for(lambda: "STARTING" not in supervisor.states().values(), deadline - time.monotonic())


def read_server_states(exporter_port: int, targets: tuple[Target, ...]) -> dict[str, str]:
    """Returns server -> state in words. Waits until the exporter has probed each server once."""
    servers = [target.server for target in targets]
    wait_for(lambda: set(servers) <= parse_probes(_metrics(exporter_port)).keys(), _FIRST_PROBE_SECONDS)
    probes = parse_probes(_metrics(exporter_port))
    return {server: _STATES.get(probes.get(server, ""), "not probed yet") for server in servers}


def read_dry_run(healer_port: int) -> bool | None:
    """Asks the healer itself, since healer.yml may set the mode as well as .env. None: it does not say."""
    value = read_sample(healer_port, "vllm_healer_dry_run")
    return None if value is None else value == 1


def read_sample(port: int, name: str, password_file: Path | None = None) -> float | None:
    """Returns the value of a metric on the part's /metrics, or None when it is not there."""
    return parse_sample(_metrics(port, password_file), name)


def parse_probes(metrics: str) -> Mapping[str, str]:
    """Returns server -> result of its last /health probe."""
    return {
        sample.labels["server"]: sample.labels["result"]
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "vllm_probe_health" and sample.value == 1
    }


def parse_sample(metrics: str, name: str) -> float | None:
    """Returns the value of the first sample of that name."""
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    return next((sample.value for sample in samples if sample.name == name), None)


def _metrics(port: int, password_file: Path | None = None) -> str:
    answer = get(port, "/metrics", password_file)
    return answer[1] if answer and answer[0] == 200 else ""


def _authorization(password_file: Path | None) -> dict[str, str]:
    if password_file is None:
        return {}
    pair = f"{USER}:{read_secret(password_file).strip()}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _is_decided(supervisor: Supervisor, program: Program) -> bool:
    """True if the program is healthy, or if supervisord has given it up or never knew it."""
    healthy = is_healthy(program.port, program.health, program.password_file)
    return healthy or supervisor.states().get(program.name, "FATAL") == "FATAL"


def _silence(program: Program) -> str:
    strange = program.password_file and not is_free(program.port) and not is_trusted(program.port)
    return f"is not asked, since {owner(program.port)} listens there" if strange else "does not answer"


def _failure(layout: Layout, supervisor: Supervisor, program: Program) -> str:
    answer = get(program.port, program.health, program.password_file)
    said = f"answers {answer[0]}: {answer[1].strip()[:200]}" if answer else _silence(program)
    state = supervisor.states().get(program.name, "unknown to supervisord")
    return (
        f"{program.name} ({state}) {said} at {program.address}{program.health}. "
        f"The end of {layout.log(program.name)}:\n{layout.log_end(program.name, _LOG_LINES)}\n"
        "The other parts keep running. Correct the cause and `make up` again, or `make down`."
    )
