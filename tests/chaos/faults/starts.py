"""Starts of a real vLLM that fail."""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.e2e.harness.changed_vllm import for_gpus, with_model
from tests.e2e.harness.processes import end_session
from tests.e2e.harness.proofs import Subject, in_shell

WITHIN = 280.0  # seconds: six starts share two cores, and each alert waits for a minute

GRACE = 5.0  # seconds; Kubernetes waits for 30
SMALL_SHM = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'


def weights_missing(one: Subject) -> None:
    one.fails(env=with_model(one.stage.script, one.home, lambda model: (model / "model.safetensors").unlink()))
    one.shows("F24", "VllmModelLoadFailed", WITHIN)


def weights_cut(one: Subject) -> None:
    """To the size of what stands in place of a large file in a clone without Git LFS."""
    one.fails(env=with_model(one.stage.script, one.home, lambda model: os.truncate(model / "model.safetensors", 135)))
    one.shows("F24", "VllmModelLoadFailed", WITHIN)


def tokenizer_missing(one: Subject) -> None:
    one.fails(env=with_model(one.stage.script, one.home, lambda model: (model / "tokenizer.json").unlink()))
    one.shows("F24", "VllmModelLoadFailed", WITHIN)


def port_taken(one: Subject) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", one.port))
        other.listen()
        one.fails()
    one.shows("F25", "VllmPortTaken", WITHIN)


def context_too_long(one: Subject) -> None:
    one.fails("--max-model-len", "4096")
    one.shows("F27", "VllmConfigurationRefused", WITHIN)


def flag_unknown(one: Subject) -> None:
    one.fails("--max-model-length", "512")
    one.shows("F27", "VllmConfigurationRefused", WITHIN)


def cache_smaller_than_a_request(one: Subject) -> None:
    one.fails("--num-gpu-blocks-override", "4")
    one.shows("F04", "VllmStartOutOfMemory", WITHIN)


def shared_memory_of_a_container(one: Subject) -> None:
    """64 MiB, as Docker gives unless told otherwise."""
    one.fails(before=in_shell(SMALL_SHM, "unshare", "--map-root-user", "--mount"))
    one.shows("F21", "VllmSharedMemoryTooSmall", WITHIN)


def no_compiler(one: Subject) -> None:
    caches = {"VLLM_CACHE_ROOT": str(one.folder / "cache"), "TORCHINDUCTOR_CACHE_DIR": str(one.folder / "inductor")}
    one.fails("--no-enforce-eager", env={"CXX": "/nowhere/g++", **caches})
    one.shows("F37", "VllmCompileFailed", WITHIN)


def no_driver(one: Subject) -> None:
    """A build for GPUs on a host without a driver finds no platform."""
    one.fails(env=for_gpus(one.stage.script, one.home))
    one.shows("F26", "VllmDriverMismatch", WITHIN)


def killed_by_a_probe(one: Subject) -> None:
    """Three times, by a liveness probe that is more impatient than a start is long: asked to end, which vLLM may hear
    a minute later, and killed after GRACE."""
    one.breaks()
    for _ in range(3):
        one.start()
        one.child("VLLM::EngineCore")
        os.kill(one.pid, signal.SIGTERM)
        time.sleep(GRACE)
        end_session(one.pid)
        one.wait_ended()
    one.shows("F10", "VllmCrashLoop", 2 * WITHIN)
    one.shows("F10", "VllmStartKilled", 2 * WITHIN)  # a minute after the last start
