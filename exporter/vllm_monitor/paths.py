"""What a request's path asks for, however it is written. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

# vLLM's paths that change a server, or tell its configuration; all releases to 0.32. `vllm serve --api-key` guards only
# those under /v1, /v2, /inference and /cohere. GET /is_paused and /is_sleeping change nothing, and probes need them.
MANAGEMENT = re.compile(
    "|".join(
        (
            "sleep",
            "wake_up",
            "pause",
            "resume",
            "collective_rpc",
            "server_info",  # the whole configuration, and the environment
            "(inference/v1/)?abort_requests",
            "release_kv_cache_memory",
            r"reset_\w+_cache",
            "v1/(un)?load_lora_adapter",
            "adapters(/.*)?",
            "(start|stop)_profile",
            "scale_elastic_ep",
            "fault_tolerance/apply",
            "weight_checker",
            r"\w+_weights?(_\w+)?",  # update_weights, init_weight_transfer_engine, start_weight_update …
        )
    )
)
PLAIN = re.compile("(/[a-z0-9_]+)+")  # what nothing takes for another path; most are such
UNSEEN = re.compile(r"[\x00-\x20\x7f]+")  # Starlette takes /sleep%0A for /sleep
DECODINGS = 3  # a proxy may decode what the server decodes again


def is_management(scope: Mapping[str, Any]) -> bool:
    """True for a path of MANAGEMENT, with all that a server or a proxy may take for it."""
    path, root = scope["path"], scope.get("root_path") or ""
    if not root and PLAIN.fullmatch(path):
        return MANAGEMENT.fullmatch(path, 1) is not None
    path, root = normal(path), normal(root)
    return bool(MANAGEMENT.fullmatch(path) or (root and MANAGEMENT.fullmatch(path.removeprefix(f"{root}/"))))


def route(scope: Mapping[str, Any]) -> str:
    """Returns the path by which Starlette routes: without the root path, where the server has one."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def normal(path: str) -> str:
    """Returns a path without slashes at its ends, decoded, in lower case, and without what means nothing in it."""
    for _ in range(DECODINGS):
        if "%" not in path:
            break
        path = unquote(path)
    if "://" in path:
        path = path.partition("://")[2].partition("/")[2]
    path = re.split("[?#]", UNSEEN.sub("", path).replace("\\", "/"), maxsplit=1)[0]
    kept: list[str] = []
    for part in path.lower().split("/"):
        part = part.partition(";")[0]
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)
