"""Expert parallel fault: the engine has aborted its requests and waits to be told what to do."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class ExpertParallelFault(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "an engine failed and waits to be told what to do, two minutes by default"
    person = (
        'within that time POST {"instruction":"retry"} to /fault_tolerance/apply, else it ends; then look which '
        "rank fell"
    )
