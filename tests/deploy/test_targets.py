from __future__ import annotations

import json

import pytest

from deploy.config.targets import Target, file_sd, parse_targets
from deploy.errors import SettingsError


def test_commas_and_spaces_separate() -> None:
    assert [target.server for target in parse_targets(" a:1,b:2  c:3,\n", "gpu1", "VLLM_TARGETS")] == [
        "a:1",
        "b:2",
        "c:3",
    ]


def test_a_scheme_is_kept_apart_from_the_address() -> None:
    assert parse_targets("https://[::1]:8443/", "gpu1", "VLLM_TARGETS") == (Target("[::1]:8443", "gpu1:8443", "https"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my server:8000", "'my' has no host or no port"),
        ("gpu1", "'gpu1' has no host or no port"),
        (":8000", "':8000' has no host or no port"),
        ("::1:8000", "'::1:8000' has no host or no port"),
        ("gpu1:", "'gpu1:' has the port '', not a number from 1 to 65535"),
        ("gpu1:0", "'gpu1:0' has the port '0'"),
        ("gpu1:65536", "'gpu1:65536' has the port '65536'"),
        ("gpu1:8000/v1", "'gpu1:8000/v1' has a path"),
        ("ftp://gpu1:8000", "'ftp://gpu1:8000' begins with ftp://"),
        ("localhost:8000,127.0.0.1:8000", "'127.0.0.1:8000' and 'localhost:8000' are the same server: remove one"),
    ],
)
def test_names_the_item_that_is_no_address(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"VLLM_TARGETS: {message.replace('[', '.')}"):
        parse_targets(text, "gpu1", "VLLM_TARGETS")


def test_prometheus_list_names_server_and_scheme() -> None:
    targets = (Target("localhost:8000", "gpu1:8000"), Target("gpu2:8443", "gpu2:8443", "https"))
    assert json.loads(file_sd(targets)) == [
        {"targets": ["localhost:8000"], "labels": {"server": "gpu1:8000"}},
        {"targets": ["gpu2:8443"], "labels": {"server": "gpu2:8443", "__scheme__": "https"}},
    ]
