"""Management paths are known however they are written, and users' paths are not taken for them."""

from __future__ import annotations

import pytest

from vllm_monitor.paths import is_management, route

MANAGEMENT = [
    "/sleep",
    "/wake_up",
    "/pause",
    "/resume",
    "/collective_rpc",
    "/server_info",
    "/abort_requests",
    "/inference/v1/abort_requests",
    "/release_kv_cache_memory",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/reset_encoder_cache",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/adapters",
    "/adapters/mine",
    "/start_profile",
    "/stop_profile",
    "/scale_elastic_ep",
    "/fault_tolerance/apply",
    "/weight_checker",
    "/update_weights",
    "/init_weight_transfer_engine",
    "/start_weight_update",
    "/start_draft_weight_update",
    "/finish_weight_update",
    "/update_weight_version",
    "/shutdown_weight_transfer_engine",
]
OPEN = [
    "/",
    "/health",
    "/ping",
    "/metrics",
    "/version",
    "/load",
    "/v1/models",
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/responses/resp_1/cancel",
    "/invocations",
    "/tokenize",
    "/score",
    "/is_paused",
    "/is_sleeping",
    "/weight_info",
    "/is_scaling_elastic_ep",
    "/get_world_size",
    "/fault_tolerance/status",
    "/docs",
    "/openapi.json",
    "/v1/audio/transcriptions",
    "/mine/sleep",
    "/sleepy",
    "/resumes",
]
TRICKS = [
    "//sleep",
    "///sleep//",
    "/sleep/",
    "/./sleep",
    "/v1/../sleep",
    "/v1/%2e%2e/sleep",
    "/%73leep",
    "/%2573leep",
    "/%252573leep",
    "/sleep%0a",
    "/sleep\n",
    "/sleep%00",
    "/sleep%20",
    "/ sleep",
    "/\tsleep",
    "/SLEEP",
    "/sleep;x=1",
    "/;x/sleep",
    "/sleep?level=1",
    "/sleep%3flevel=1",
    "/sleep#x",
    "\\sleep",
    "/\\sleep",
    "/%5csleep",
    "http://other/sleep",
    "http://other//sleep/",
    "sleep",
    "/v1//load_lora_adapter",
    "/v1/load_lora_adapter%2f",
    "/v1%2funload_lora_adapter",
    "/collective%5frpc",
    "/adapters/../adapters/x",
    "/../sleep",
    "/reset%5fmm_cache",
]


@pytest.mark.parametrize("path", MANAGEMENT + TRICKS)
def test_a_management_path_is_known_however_it_is_written(path: str) -> None:
    assert is_management({"path": path})
    assert is_management({"path": path, "root_path": "/llm"})  # vLLM answers with and without it
    assert is_management({"path": f"/llm{path}" if path.startswith("/") else path, "root_path": "/llm"})
    assert is_management({"path": f"//LLM/{path}", "root_path": "/llm/"}) or "://" in path


@pytest.mark.parametrize("path", OPEN)
def test_users_and_probes_paths_are_not(path: str) -> None:
    assert not is_management({"path": path})
    assert not is_management({"path": f"/llm{path}", "root_path": "/llm"})


@pytest.mark.parametrize(
    ("path", "root", "routed"),
    [
        ("/v1/completions", "", "/v1/completions"),
        ("/llm/v1/completions", "/llm", "/v1/completions"),
        ("/v1/completions", "/llm", "/v1/completions"),
        ("/llmv1/completions", "/llm", "/llmv1/completions"),
    ],
)
def test_the_root_path_is_no_part_of_the_route(path: str, root: str, routed: str) -> None:
    """As Starlette does it (1.10: get_route_path)."""
    assert route({"path": path, "root_path": root}) == routed
