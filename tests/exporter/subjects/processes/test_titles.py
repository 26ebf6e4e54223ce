"""What a process is, by its command line. The titles are those of vLLM 0.32, seen in /proc or read in its source."""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.processes.titles import Forward, Title, parse_title


def words(command: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in command.split())


@pytest.mark.parametrize(
    ("title", "role", "rank"),
    [
        (b"VLLM::EngineCore" + b" " * 40, "engine_core", ""),
        (b"VLLM::EngineCore\0\0\0\0", "engine_core", ""),
        (b"VLLM::EngineCore_DP0\0", "engine_core", "DP0"),
        (b"VLLM::Worker\0", "worker", ""),
        (b"VLLM::Worker_TP1\0", "worker", "TP1"),
        (b"VLLM::Worker_DP0_PP1_TP3_EP7\0", "worker", "DP0_PP1_TP3_EP7"),
        (b"VLLM::Worker_PP1\0", "worker", "PP1"),
        (b"VLLM::Worker_DP1\0", "worker", "DP1"),
        (b"VLLM::Worker_EP3\0", "worker", "EP3"),
        (b"VLLM::Worker_TP3_DCP1\0", "worker", "TP3_DCP1"),
        (b"VLLM::Worker_DP0_PP0_PCP1_TP0_DCP0_EP12\0", "worker", "DP0_PP0_PCP1_TP0_DCP0_EP12"),
        (b"VLLM::APIServer_0\0", "api_server", "0"),
        (b"VLLM::APIServer_DP1\0", "api_server", "DP1"),
        (b"VLLM::DPCoordinator\0", "coordinator", ""),
        (b"team-a::EngineCore_DP3\0", "engine_core", "DP3"),
        (b"VLLM::Worker_TP0\0" + b"30\0", "worker", "TP0"),  # exec -a with an argument
    ],
)
def test_knows_the_titles_that_vllm_gives_itself(title: bytes, role: str, rank: str) -> None:
    found = parse_title(title)
    assert (found.role, found.rank, found.renamed, found.owner) == (role, rank, True, True)


@pytest.mark.parametrize(
    ("title", "role"),
    [
        (b"ray::RayWorkerWrapper.execute_method\0", "worker"),
        (b"ray::RayWorkerProc\0", "worker"),
        (b"ray::RayWorkerProc(rank=1, pid=7).run\0", "worker"),
        (b"ray::EngineCoreActor.run\0", "engine_core"),
        (b"ray::DPMoEEngineCoreActor\0", "engine_core"),
        (b"ray::IDLE\0", None),
        (b"ray::ServeReplica:app:Model\0", None),
    ],
)
def test_knows_vllms_actors_among_those_of_ray(title: bytes, role: str | None) -> None:
    found = parse_title(title)
    assert (found.role, found.rank, found.owner) == (role, "", True)


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("/venv/bin/python3.11 /venv/bin/vllm serve model --host 0.0.0.0", 8000),
        ("/venv/bin/python /venv/bin/vllm serve model --port 8123", 8123),
        ("vllm serve model --port=8124 --port 8125", 8125),
        ("python3 -u -X dev -m vllm.entrypoints.openai.api_server --model m --port 9000", 9000),
        ("python -m vllm.entrypoints.cli.main serve m", 8000),
        ("vllm serve m --headless --port 8000", None),
        ("vllm serve m --port $PORT", None),
        ("vllm serve m --uds /run/vllm.sock", None),  # it listens on no port, least of all on 8000
        ("vllm serve m --uds=/run/vllm.sock", None),
    ],
)
def test_knows_a_server_by_its_command_line(command: str, port: int | None) -> None:
    assert parse_title(words(command)) == Title("api_server", port=port, owner=True)


@pytest.mark.parametrize(
    ("command", "port"),
    [
        # vllm-project/vllm#44183
        (
            "/usr/local/lib/python3.12/dist-packages/vllm/vllm-rs frontend --listen-fd 18 --input-address ipc:///tmp/8"
            " --output-address ipc:///tmp/0 --engine-count 1 --args-json {}",
            None,
        ),
        ("vllm-rs serve Qwen/Qwen3-0.6B", 8000),  # vllm-project/vllm-metal#321
        ("/venv/bin/vllm-rs serve m --port 8001", 8001),
    ],
)
def test_the_server_in_rust_is_no_fork_of_the_one_in_python(command: str, port: int | None) -> None:
    assert parse_title(words(command)) == Title("api_server", port=port, renamed=True, owner=True)


def test_other_commands_of_the_program_in_rust_serve_nothing() -> None:
    assert parse_title(words("vllm-rs bench serve")) == Title()


@pytest.mark.parametrize(
    ("title", "role", "rank"),
    [
        (b"VLLM::StageEngineCoreProc_DP0\0", "engine_core", "DP0"),  # T02, vllm-project/vllm#43060
        (b"VLLM::StageEngineCoreProc_stage0_replica1\0", "engine_core", "stage0_replica1"),
        (b"VLLM::DPEngineCoreProc\0", "engine_core", ""),
        (b"VLLM::StageWorkerProc_TP1\0", "worker", "TP1"),
        (b"VLLM::NPUWorker_DP0_TP1\0", "worker", "DP0_TP1"),
        (b"VLLM::OmniAPIServer_1\0", "api_server", "1"),
        (b"VLLM::EngineCoreProc_0\0", "engine_core", "0"),  # vllm-project/vllm#21445
        (b"VLLM::Worker_TP1_DP0\0", "worker", "TP1_DP0"),
        (b"vLLM-Omni::DiffusionWorker-3\0", "worker", "3"),  # vllm-project/vllm-omni#6297
        (b"vLLM-Omni::DiffusionWorker_DP0_SP1_CFG0_TP1\0", "worker", "DP0_SP1_CFG0_TP1"),
        (b"vllm_ascend::NPUWorker\0", "worker", ""),
        (  # vllm-project/vllm#22205
            b"/home/user/uv_env/vllm/bin/python3 -c from multiprocessing.spawn import spawn_main;"
            b" spawn_main(tracker_fd=56, pipe_handle=55) --multiprocessing-fork_TP0\0",
            "worker",
            "TP0",
        ),
        (b"ray::OmniRayWorkerProc.run\0", "worker", ""),
        (b"ray::StageEngineCoreActor\0", "engine_core", ""),
    ],
)
def test_a_class_that_extends_vllms_has_its_role(title: bytes, role: str, rank: str) -> None:
    found = parse_title(title)
    assert (found.role, found.rank, found.renamed, found.owner) == (role, rank, True, True)


@pytest.mark.parametrize("rank", ["r1_AAAA", "A" * 64, "TP", "TP1_", "_TP1", "DP12345", "TP0x", "tp0", "DP0__TP1"])
def test_a_rank_of_another_form_is_none(rank: str) -> None:
    """Each rank is a series, and anybody may write a title."""
    found = parse_title(f"VLLM::Worker_{rank}\0".encode())
    assert (found.role, found.rank) == ("worker", "")


@pytest.mark.parametrize(
    ("command", "port"),
    [
        # T01, vllm-project/vllm#43060
        ("/venv/bin/python3 -m vllm_omni.entrypoints.cli.main serve /models/Q --port 53211 --omni", 53211),
        ("python3 -m vllm_omni.entrypoints.openai.api_server --model m", 8000),
        ("python -m vllm_nvext.entrypoints.openai.api_server", 8000),
        ("python -m ipex_llm.vllm.xpu.entrypoints.openai.api_server --port 8001", 8001),
        ("python3.12 -um vllm.entrypoints.openai.api_server", 8000),
        ("python3.12 -mvllm.entrypoints.openai.api_server", 8000),
        ("python3.12 -I -Xdev -m vllm serve m", 8000),
        ("python3 -m vllm.entrypoints.grpc_server", 8000),
        ("python3 /opt/vllm/entrypoints/openai/api_server.py --port 7000", 7000),
        ("/usr/bin/python3.12 /opt/bin/vllm-0.9 serve m --port 8009", 8009),
        ("/opt/bin/vllm-0.9.1 serve m", 8000),
        ("vllm0.10 serve m", 8000),
        ("vllm-omni serve m --omni", 8000),
        ("/opt/vllm.pex serve m", 8000),
        ("python3 /venv/bin/vllm-mlx serve m", 8000),
        ("python3 /venv/bin/lmcache_vllm serve m --port 8000", 8000),
        ("python3 -m vllm_omni serve m", 8000),
        ("python -m llumnix.entrypoints.vllm.api_server --port 37000", 37000),
        ("vllm serve m --port " + "9" * 5000, None),
        ("/venv/bin/python /venv/bin/trl vllm-serve --model m", 8000),
        ("/nix/store/a-python3/bin/python3.12 /nix/store/b-vllm-0.9/bin/.vllm-wrapped serve m --port 8005", 8005),
        ("/nix/store/a-python3/bin/.python3.12-wrapped -m vllm.entrypoints.openai.api_server", 8000),
        ("python3 -m debugpy --listen 5678 -m vllm.entrypoints.openai.api_server --port 8001", 8001),
        ("python3 -m cProfile -o vllm.prof -m vllm.entrypoints.openai.api_server --model m", 8000),
        ("python3 -m pdb /venv/bin/vllm serve m --port 8002", 8002),
        ("/venv/bin/python /venv/bin/memray run -o x /venv/bin/vllm serve m --port=8003", 8003),
        ("python3 -m vllm_mindspore.entrypoints vllm.entrypoints.openai.api_server --model m --port 8004", 8004),
    ],
)
def test_knows_a_server_of_a_package_that_extends_vllm_or_of_a_versioned_command(
    command: str, port: int | None
) -> None:
    assert parse_title(words(command)) == Title("api_server", port=port, owner=True)


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("python3 -m dynamo.vllm --model Qwen/Qwen3-0.6B", None),  # T06: it listens where DYN_SYSTEM_PORT says
        ("python3 -m dynamo.vllm.main --model m --port 8081", 8081),
        ("python3 -m vllm_tgis_adapter --model-name m", None),
        ("python3 -m fastchat.serve.vllm_worker --port 21002", 21002),
        ("python -m huggingfaceserver --model_id=Qwen/Qwen3-14B --max-model-len=4096", None),  # kserve/kserve#4470
        ("python -m trl.scripts.vllm_serve --model m --port 8001", 8001),
    ],
)
def test_a_program_that_wraps_vllms_engine_is_the_first_process_of_a_server(command: str, port: int | None) -> None:
    assert parse_title(words(command)) == Title("api_server", port=port, owner=True)


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m dynamo.vllm.sidecar",  # talks to a server beside it
        "python3 -m dynamo.sglang --model m",
        "python3 -m vllm_exporter serve",
        "python3 -m vllm.benchmarks.serve",
        "python3 -m vllm bench serve",
        "python3 /venv/bin/vllm-exporter serve",
        "python3 /venv/bin/vllm-router serve",
        "python3 /venv/bin/vllm-benchmark serve",
        "python3 -m vllm_router.app serve",
        "python3 -m my_vllm_proxy serve",
        "python3 -c vllm serve",
        "python3 -m " + "a." * 30_000 + "vllm",
        "python3 -m cProfile -o vllm train.py",
        "python3 -m torch.distributed.run -m vllm.entrypoints.openai.api_server",  # its children serve
        "/venv/bin/python /venv/bin/trl sft --model vllm-serve",
        "python3 -m pdb " + "a " * 3000,
    ],
)
def test_takes_no_program_beside_vllm_for_a_server(command: str) -> None:
    assert parse_title(words(command)) == Title(owner=True)


@pytest.mark.parametrize(
    "command",
    [
        "vllm-exporter serve",
        "vllm-healer serve",
        "vllm-router serve",
        "team-a::StageEngineCoreProc_DP0",
        "grep vllm serve",
        "vim vllm",
        "tail -f VLLM::EngineCore",
        "VLLM::Other",
        "a::b::EngineCore",
        "sshd:",
    ],
)
def test_takes_nothing_else_for_vllm(command: str) -> None:
    assert parse_title(words(command)) == Title()


@pytest.mark.parametrize("end", [b"", b"_", b"_evil", b"_TP", b"-TP0", b"_TP0 x"])
def test_a_process_that_python_spawned_is_no_worker_without_a_rank(end: bytes) -> None:
    title = b"/usr/bin/python3 -c from multiprocessing.spawn import spawn_main; spawn_main(x=1) --multiprocessing-fork"
    assert parse_title(title + end + b"\0") == Title(owner=True)


def test_a_python_program_and_a_ray_actor_may_own_engines() -> None:
    assert parse_title(words("/usr/bin/python3 offline.py vllm serve")) == Title(owner=True)
    assert parse_title(words("python3 -c from multiprocessing.spawn import")) == Title(owner=True)
    assert parse_title(b"ray::Worker\0") == Title(owner=True)
    assert parse_title(words("/venv/bin/python /venv/bin/vllm bench serve")) == Title(owner=True)


def test_a_supervisor_owns_no_engine_although_it_is_a_python_program() -> None:
    assert parse_title(words("/usr/bin/python3 /usr/bin/supervisord -n")) == Title(owner=False)


@pytest.mark.parametrize("command", ["bash -c vllm serve model", "/bin/sh ./start.sh", "-zsh", "/usr/bin/busybox sh"])
def test_a_shell_may_become_anything(command: str) -> None:
    assert parse_title(words(command)) == Title(shell=True)


def test_knows_which_port_a_docker_proxy_forwards() -> None:
    command = (
        "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 18000 -container-ip 172.17.0.2"
        " -container-port 8000 -use-listen-fd"
    )
    assert parse_title(words(command)) == Title(forward=Forward(18000, "172.17.0.2", 8000))
    assert parse_title(words(command.replace("tcp", "udp"))) == Title()
    assert parse_title(words("docker-proxy -proto tcp -host-port x")) == Title()


def test_a_kernel_thread_has_no_title() -> None:
    assert parse_title(b"") == Title()
    assert parse_title(b"\0\0") == Title()
