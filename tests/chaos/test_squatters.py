"""Whoever takes a port of ours while nobody is there gets no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import wait_for
from tests.ports import is_free
from vllm_healer.actuators.supervisord import Supervisord
from vllm_healer.cli import main
from vllm_healer.errors import Blind
from vllm_healer.model import Target

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as another user")

# Becomes user nobody, agrees with everything that it is asked, and prints it.
SQUATTER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    print(client.recv(65536).decode("latin-1"), flush=True)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}")
    client.close()
"""


@contextmanager
def squatter(port: int, heard: Path) -> Iterator[None]:
    """A program of user nobody on a port; what it hears goes to a file."""
    with heard.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-I", "-c", SQUATTER, str(port)], stdout=file)
    try:
        wait_for(lambda: not is_free(port))
        yield
    finally:
        process.kill()
        process.wait()


def test_pausing_gives_no_token_to_whoever_took_the_healers_port(
    healer: Any, tmp_path: Path, held: Callable[[str], None], stage: Any
) -> None:
    healer.kill()
    heard = tmp_path / "heard"
    with squatter(healer.port, heard):
        main(["pause", "--config", str(healer.config)])
    held(f"a squatter on the healer's port heard {heard.stat().st_size} bytes of a pause")
    assert stage.TOKEN not in heard.read_text()
    healer.start()
    assert healer.metric("vllm_healer_paused") == 1  # it was written down for the next one


def test_supervisords_password_is_not_given_to_whoever_took_its_port(
    healer: Any, tmp_path: Path, held: Callable[[str], None], stage: Any
) -> None:
    healer.kill()
    password = stage.write_secret(tmp_path / "password", "a-password-of-supervisord")
    options = {
        "url": f"http://127.0.0.1:{healer.port}/RPC2",
        "program": "vllm",
        "username": "healer",
        "password_file": str(password),
    }
    target = Target(
        server="x:1", url="http://127.0.0.1:1", pool="p", actuator="supervisord", options=options,
        api_key_file="", ca_file="", start_timeout=5.0,
    )  # fmt: skip
    heard = tmp_path / "heard"
    with squatter(healer.port, heard), pytest.raises(Blind):
        Supervisord(lambda server: {}).observe(target)
    held(f"a squatter on supervisord's port heard {heard.stat().st_size} bytes")
    assert "Authorization" not in heard.read_text()
