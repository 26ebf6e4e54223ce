"""Words about a server that outlived its supervisor and lives on beside the one that is supervised now."""

from __future__ import annotations

from vllm_healer.model import ProcessRef, SupervisorView


def name_unsupervised(processes: tuple[ProcessRef, ...]) -> str:
    """The sentence that names them: 'pid 4711 of an earlier start lives on, unknown to its supervisor'."""
    servers = [process.pid for process in processes if process.role == "api_server"]
    pids = ", ".join(str(pid) for pid in servers or [process.pid for process in processes])
    return f"pid {pids} of an earlier start lives on, unknown to its supervisor"


def answered_by_another(supervisor: SupervisorView | None) -> str:
    """Words for why an answer may not be the supervised server's, or ''."""
    if supervisor is None or not supervisor.unsupervised:
        return ""
    return f"what answers may not be the supervised server: {name_unsupervised(supervisor.unsupervised)}"
