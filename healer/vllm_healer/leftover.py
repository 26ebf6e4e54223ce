"""Words about servers that live beside the one that is supervised: of an earlier start, or of somebody else."""

from __future__ import annotations

from vllm_healer.model import ProcessRef, SupervisorView


def name_unsupervised(processes: tuple[ProcessRef, ...]) -> str:
    """The sentence that names them: 'pid 4711 of an earlier start lives on, unknown to its supervisor'."""
    servers = [process.pid for process in processes if process.role == "api_server"]
    pids = ", ".join(str(pid) for pid in servers or [process.pid for process in processes])
    return f"pid {pids} of an earlier start lives on, unknown to its supervisor"


def answered_by_another(supervisor: SupervisorView | None) -> str:
    """Words for why an answer may not be the supervised server's, or ''."""
    if supervisor is None:
        return ""
    if supervisor.stranger is not None:
        named = f"pid {supervisor.stranger.pid} listens on its port, and its supervisor did not start it"
    elif supervisor.unsupervised:
        named = name_unsupervised(supervisor.unsupervised)
    else:
        return ""
    return f"what answers may not be the supervised server: {named}"
