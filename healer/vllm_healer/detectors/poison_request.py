"""Poison request: it dies again and again, as if one request killed every engine that gets it."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Reason


class PoisonRequest(Reason):
    """Explains a death; a restart helps once, and what a person does keeps it from coming again."""

    destructive_may_help = True
    order = 13  # before what each single death says of itself
    broken = "it was restarted again and again within the hour: one request may kill every server that it reaches"
    person = (
        "compare the scheduler dumps above the tracebacks, and block the request that all deaths have in common "
        "at the proxy"
    )
