"""A /proc written to a directory: processes that a test starts, renames, reparents and ends."""

from __future__ import annotations

import shutil
from pathlib import Path

BOOT_TIME = 1_700_000_000  # Unix time


class FakeProc:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/kernel/random").mkdir(parents=True)
        self.boot("boot-1")
        (root / "stat").write_text(f"cpu 1 2 3\nbtime {BOOT_TIME}\n")
        self.process(1, 0, "/sbin/init", start=0)

    def boot(self, boot_id: str) -> None:
        (self.root / "sys/kernel/random/boot_id").write_text(boot_id + "\n")

    def process(
        self,
        pid: int,
        ppid: int,
        command: str,
        start: int | None = None,
        comm: str | None = None,
        state: str = "S",
        threads: int = 1,
        ticks: int = 0,
        pages: int = 0,
    ) -> None:
        """Start time: 10 times the pid unless given. Words of the command are split at blanks."""
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        name = command.split()[0].rpartition("/")[2][:15] if comm is None else comm
        before = f"{pid} ({name}) {state} {ppid} 1 1 0 -1 4194560 10 0 0 0 {ticks} 0 0 0 20 0 {threads} 0"
        (folder / "stat").write_text(f"{before} {pid * 10 if start is None else start} 1000 {pages} 0\n")
        (folder / "statm").write_text(f"{2 * pages} {pages} 10 1 0 20 0\n")
        (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command.split()))

    def listen(self, pid: int, port: int, inode: int) -> None:
        """An open socket that listens on the port, and two that do not."""
        folder = self.root / str(pid)
        (folder / "fd").mkdir(exist_ok=True)
        (folder / "fd/3").symlink_to(f"socket:[{inode}]")
        (folder / "fd/4").symlink_to("/dev/null")
        (folder / "net").mkdir(exist_ok=True)
        (folder / "net/tcp").write_text(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
            f"   0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {inode} 1 0 100\n"
            f"   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 {inode} 1 0 100\n"
            "   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 777 1 0 100\n"
        )

    def container(self, pid: int, container: str, address: str = "") -> None:
        """Puts it into a container; with an address, into a network of its own too."""
        (self.root / str(pid) / "cgroup").write_text(f"0::/system.slice/docker-{container}.scope\n")
        if not address:
            return
        for folder, network in ((self.root / "self", "net:[1]"), (self.root / str(pid), f"net:[{pid}]")):
            (folder / "ns").mkdir(parents=True, exist_ok=True)
            (folder / "ns/net").unlink(missing_ok=True)
            (folder / "ns/net").symlink_to(network)
        (self.root / str(pid) / "net").mkdir(exist_ok=True)
        (self.root / str(pid) / "net/fib_trie").write_text(
            "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n"
            f"        |-- {address}\n           /32 host LOCAL\n"
            "        |-- 172.17.255.255\n           /32 link BROADCAST\n"
            "        |-- 127.0.0.1\n           /32 host LOCAL\n"
        )

    def end(self, *pids: int) -> None:
        for pid in pids:
            shutil.rmtree(self.root / str(pid))
