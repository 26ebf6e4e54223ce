from __future__ import annotations

import pytest

from vllm_healer.names import plain_name


@pytest.mark.parametrize("name", ["gpu1:8000", "[fe80::1%eth0]:8000", "gpu 1:8000", "pool/llama-3.1", "a_b@c"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert plain_name(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("vm:22101 ", "'vm:22101 '"),
        (" vm:22101", "' vm:22101'"),
        ("vm  1:8000", "'vm  1:8000'"),
        ("vm:8000\u200b", r"'vm:8000\u200b'"),
        ("vм:8000", r"'v\u043c:8000'"),  # a Cyrillic letter
        ("vm:8000\n", r"'vm:8000\n'"),
        ("vm\u202e:8000", r"'vm\u202e:8000'"),
        ("", "''"),
        ("'vm:8000'", "\"'vm:8000'\""),
    ],
)
def test_a_name_that_looks_like_another_one_is_quoted(name: str, shown: str) -> None:
    assert plain_name(name) == shown
