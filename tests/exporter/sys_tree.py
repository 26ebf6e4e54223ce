"""Builds a /sys in a directory from the facts of a recorded host (fixtures/topology/*.txt)."""

from __future__ import annotations

from pathlib import Path


class SysTree:
    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self, facts: Path) -> SysTree:
        for line in facts.read_text().splitlines():
            word, *rest = line.split()
            if word == "node":
                self.node(int(rest[0]), rest[1])
            elif word == "device":
                self.device(int(rest[0]), rest[1], rest[2], rest[3])
            elif word == "infiniband":
                self.infiniband(*rest)
        return self

    def node(self, number: int, cpus: str) -> None:
        self.write(f"devices/system/node/node{number}/cpulist", cpus)

    def device(self, node: int, pci_class: str, vendor: str, path: str) -> None:
        """Below all its bridges, with the link that the kernel makes."""
        address = path.rpartition("/")[2]
        for name, text in (("class", pci_class), ("vendor", vendor), ("numa_node", str(node))):
            self.write(f"devices/{path}/{name}", text)
        self.link(f"bus/pci/devices/{address}", f"../../../devices/{path}")

    def infiniband(self, name: str, address: str, rate: str, state: str = "4: ACTIVE", **counters: int) -> None:
        self.link(f"class/infiniband/{name}/device", f"../../../{address}")
        port = f"class/infiniband/{name}/ports/1"
        self.write(f"{port}/state", state)
        self.write(f"{port}/rate", f"{rate} Gb/sec (4X HDR)")
        for counter, count in counters.items():
            kind = "hw_counters" if counter == "out_of_sequence" else "counters"
            self.write(f"{port}/{kind}/{counter}", str(count))

    def net(self, name: str, address: str, state: str, speed: str) -> None:
        """`address` '' for a device without hardware."""
        if address:
            self.link(f"class/net/{name}/device", f"../../../{address}")
        self.write(f"class/net/{name}/operstate", state)
        self.write(f"class/net/{name}/speed", speed)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def link(self, path: str, target: str) -> None:
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
