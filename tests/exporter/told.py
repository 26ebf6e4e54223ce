"""Events as tests need them: of each kind one with usual values, of which a test says what matters to it."""

from __future__ import annotations

from vllm_exporter.facts.events import LineNoticed, ProcessExited, Severity, StateChanged, XidReported
from vllm_exporter.facts.values import ExitCause, Role


def line(
    summary: str = "engine.died: EngineCore died",
    severity: Severity = "info",
    *,
    server: str = "",
    model_name: str = "",
    time: float = 0.0,
    class_: str = "engine.died",
    role: Role | None = None,
    pid: int | None = None,
    state: str = "",
) -> LineNoticed:
    return LineNoticed(
        severity=severity,
        summary=summary,
        server=server,
        model_name=model_name,
        time=time,
        class_=class_,
        excerpt="",
        process="",
        role=role,
        rank="",
        pid=pid,
        wrapper=False,
        state=state,
    )


def exited(
    role: Role = "engine_core",
    *,
    cause: ExitCause = "error",
    code: int | None = 1,
    server: str = "",
    time: float = 0.0,
    pid: int = 7,
) -> ProcessExited:
    return ProcessExited(
        severity="error",
        summary=f"{role} ended",
        server=server,
        time=time,
        cause=cause,
        code=code,
        pid=pid,
        role=role,
        rank="",
        container="",
    )


def xid(code: int, severity: Severity = "critical", *, gpu_id: str = "0") -> XidReported:
    return XidReported(severity=severity, summary=f"XID {code}", gpu_id=gpu_id, xid=code, xid_class="restart_host")


def changed(summary: str, severity: Severity = "info", *, server: str = "") -> StateChanged:
    return StateChanged(
        severity=severity, summary=summary, server=server, from_="idle", to="stalled", legal=True, seconds=1.0
    )
