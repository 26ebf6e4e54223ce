"""What the exporter and the healer say right after the start: the servers' states, whether it acts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from deploy.config.targets import Target
from deploy.native.http import get

_WORDS = {
    "ok": "ready",
    "refused": "down: connection refused",
    "timeout": "no answer from /health in time",
    "503": "up, but /health answers 503: starting, or its engine has died",
    "other": "no usable answer from /health; the exporter's log says why",
}
_FIRST_PROBE_SECONDS = 6.0  # a probe gives up after 5
_POLL_SECONDS = 0.2


def server_states(exporter_port: int, targets: tuple[Target, ...]) -> dict[str, str]:
    """Server -> state in words; waits for the first probe of each."""
    wanted = {target.server for target in targets}
    deadline = time.monotonic() + _FIRST_PROBE_SECONDS
    while not wanted <= (probes := parse_probes(_metrics(exporter_port))).keys() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return {target.server: _WORDS.get(probes.get(target.server, ""), "not probed yet") for target in targets}


def is_dry_run(healer_port: int) -> bool | None:
    """By the healer's own metric, since healer.yml may say it as well as .env. None: it does not say."""
    value = sample_value(_metrics(healer_port), "vllm_healer_dry_run")
    return None if value is None else value == 1


def parse_probes(metrics: str) -> Mapping[str, str]:
    """Server -> result of the last /health probe."""
    return {
        sample.labels["server"]: sample.labels["result"]
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "vllm_probe_health" and sample.value == 1
    }


def sample_value(metrics: str, name: str) -> float | None:
    """The first sample of that name."""
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    return next((sample.value for sample in samples if sample.name == name), None)


def _metrics(port: int) -> str:
    answer = get(port, "/metrics")
    return answer[1] if answer and answer[0] == 200 else ""
