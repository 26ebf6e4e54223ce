from __future__ import annotations

import pytest

from vllm_exporter.config.addresses import Endpoint, parse_listen, parse_targets, server_name
from vllm_exporter.errors import ConfigError


def test_targets_are_separated_by_commas_and_spaces() -> None:
    assert parse_targets(" a:1,b:2\tc:3 ,\n https://d:4/ ") == (
        Endpoint("a:1"),
        Endpoint("b:2"),
        Endpoint("c:3"),
        Endpoint("d:4", "https"),
    )


def test_nothing_written_is_no_target() -> None:
    assert parse_targets(" , ") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpu1", "target 'gpu1' has no port; write host:port"),
        (":8000", "target ':8000' has no port"),
        ("gpu1:0", "target 'gpu1:0' has port '0'; a port is a number from 1 to 65535"),
        ("gpu1:65536", "has port '65536'"),
        ("gpu1:" + "9" * 5000, "has port '99999999999999999999'"),
        ("gpu1:http", "has port 'http'"),
        ("http://gpu1:8000/v1", "has port '8000/v1'"),
        ("ftp://gpu1:8000", "is not a host and a port"),
        ("::1:8000", r"write an IPv6 address as \[::1\]:8000"),
    ],
)
def test_a_bad_target_is_named_with_the_fix(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_targets(f"fine:8000,{text}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"])
def test_a_loopback_host_is_replaced_by_this_hosts_name(host: str) -> None:
    assert server_name(f"{host}:8000", "gpu1") == "gpu1:8000"


@pytest.mark.parametrize("address", ["gpu2:8000", "10.0.0.5:8000", "[fd00::1]:8000", "localhost.example:8000"])
def test_any_other_address_is_its_own_name(address: str) -> None:
    assert server_name(address, "gpu1") == address


def test_listens_on_several_addresses() -> None:
    assert parse_listen("127.0.0.1:9855, [::1]:9855") == (("127.0.0.1", 9855), ("::1", 9855))


def test_a_listen_address_needs_a_port() -> None:
    with pytest.raises(ConfigError, match=r"listen address '127' has no port; write host:port, such as 127.0.0.1:9855"):
        parse_listen("127")
