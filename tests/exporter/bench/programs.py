"""The exporter and those it is compared with, as programs of their own: started, scraped, weighed, ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[3]
STUB = CHECKOUT / "tests/exporter/subjects/gpu/nvml_stub.c"
STUB_GPUS = 8
NVITOP = "nvitop-exporter==1.7.2"
GZIP = {"Accept-Encoding": "gzip"}  # as Prometheus asks
PATIENCE = 30.0


@dataclass(frozen=True)
class Program:
    """One that runs and answers GET /metrics."""

    name: str
    pid: int
    port: int

    def cpu(self) -> float:
        """Seconds of CPU so far, all threads together, to the nanosecond: its own clock, see clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident(self) -> float:
        """MiB, exact: VmRSS may be some hundred KiB behind."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        return int(next(line for line in rollup.splitlines() if line.startswith("Rss:")).split()[1]) / 1024


class Scraper:
    """GET /metrics over one connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def scrape(self) -> float:
        """Seconds that it took. Raises OSError, or http.client.HTTPException."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=GZIP)
        response = self._connection.getresponse()
        response.read()
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}")
        return time.perf_counter() - began

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def exporter(
    directory: Path, target: int, env: Mapping[str, str], options: str = "", others: Iterable[int] = ()
) -> Iterator[Program]:
    """This exporter with its default collectors and its servers' ports. `options`: more lines of its configuration."""
    port = free_port()
    config = directory / "exporter.yml"
    targets = ", ".join(f"127.0.0.1:{each}" for each in (target, *others))
    config.write_text(
        f"listen: 127.0.0.1:{port}\ntargets: [{targets}]\nstate_dir: {directory}/state\n{options}",
        encoding="utf-8",
    )
    command = [str(Path(sys.executable).with_name("vllm-exporter")), "serve", "--config", str(config)]
    with _running("vllm-exporter", command, port, directory, env) as program:
        yield program


@contextlib.contextmanager
def node_exporter(directory: Path) -> Iterator[Program | None]:
    """None where it is not installed."""
    found = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if found is None:
        print("no node_exporter to compare with: apt-get install prometheus-node-exporter", file=sys.stderr)
        yield None
        return
    port = free_port()
    with _running("node_exporter", [found, f"--web.listen-address=127.0.0.1:{port}"], port, directory, {}) as program:
        yield program


@contextlib.contextmanager
def nvitop_exporter(directory: Path, env: Mapping[str, str]) -> Iterator[Program | None]:
    """Over the same stand-in for NVML; None where it cannot be installed, or there is no stand-in."""
    script = _nvitop() if env else None
    if script is None:
        yield None
        return
    port = free_port()
    with _running("nvitop-exporter", [str(script), "--port", str(port)], port, directory, env) as program:
        yield program


def stub_environment(directory: Path) -> dict[str, str]:
    """What makes a program find STUB_GPUS GPUs; {} where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or not STUB.exists():
        print("no GPUs in these figures: no C compiler for their stand-in", file=sys.stderr)
        return {}
    library = directory / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, STUB, "-lpthread"], check=True)
    return {"LD_LIBRARY_PATH": str(directory), "NVML_STUB": f"gpus={STUB_GPUS}"}


def _nvitop() -> Path | None:
    """Installed into a virtual environment of its own, once."""
    venv = CHECKOUT / ".run/bench/nvitop"
    script = venv / "bin/nvitop-exporter"
    if not script.exists():
        make = subprocess.run([sys.executable, "-m", "venv", venv], capture_output=True, check=False)
        pip = subprocess.run([venv / "bin/pip", "install", "-q", NVITOP], capture_output=True, check=False)
        if make.returncode or pip.returncode:
            print(f"no nvitop-exporter to compare with: pip install {NVITOP} failed", file=sys.stderr)
            return None
    return script


@contextlib.contextmanager
def _running(name: str, command: list[str], port: int, directory: Path, env: Mapping[str, str]) -> Iterator[Program]:
    """Until it answers; its output goes to a file in the directory."""
    with (directory / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **env})
    try:
        _wait(name, port, process)
        yield Program(name, process.pid, port)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)


def _wait(name: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        scraper = Scraper(port)
        try:
            scraper.scrape()
        except (OSError, http.client.HTTPException):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not answer on port {port}") from None
            time.sleep(0.1)
        else:
            return
        finally:
            scraper.close()
