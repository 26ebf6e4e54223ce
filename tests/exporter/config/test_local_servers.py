from __future__ import annotations

from vllm_exporter.config.config import TargetConfig
from vllm_exporter.config.local_servers import local_ports, local_servers

TARGETS = (
    TargetConfig("localhost:8000", "gpu1:8000"),
    TargetConfig("gpu1:8001", "gpu1:8001"),
    TargetConfig("gpu2:8002", "gpu2:8002"),
    TargetConfig("127.0.0.1:8003", "gpu1:8003"),
    TargetConfig("192.0.2.1:8004", "192.0.2.1:8004"),
)


def test_targets_on_this_host_are_known_by_loopback_and_by_its_name() -> None:
    assert local_ports(TARGETS, "gpu1") == {"gpu1:8000": 8000, "gpu1:8001": 8001, "gpu1:8003": 8003}


def test_of_two_servers_on_one_port_the_first_counts() -> None:
    targets = (TargetConfig("localhost:8000", "a:8000"), TargetConfig("127.0.0.2:8000", "b:8000"))
    assert local_servers(targets, "gpu1") == {8000: "a:8000"}
