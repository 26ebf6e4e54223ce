from __future__ import annotations

from collections.abc import Callable

import pytest

from vllm_exporter.subjects.host.table import LOOK_AGAIN, Table


def name_of(line: bytes) -> tuple[str, int] | None:
    name, colon, _ = line.partition(b":")
    return (name.strip().decode(), len(name) + 1) if colon and not name.startswith(b"veth") else None


def counting() -> tuple[Callable[[bytes], tuple[str, int] | None], list[bytes]]:
    seen: list[bytes] = []

    def count(line: bytes) -> tuple[str, int] | None:
        seen.append(line)
        return name_of(line)

    return count, seen


def test_finds_the_fields_of_wanted_rows() -> None:
    table = Table(name_of)
    assert table.rows(b"  a: 1 2\nveth1: 3\n  ba: 4\n") == [[b"1", b"2"], [b"4"]]
    assert table.names == ("a", "ba")


def test_a_name_that_ends_as_another_does_is_told_apart() -> None:
    assert Table(name_of).rows(b"xeth0: 1\neth0: 2\n") == [[b"1"], [b"2"]]


def test_looks_at_every_row_only_when_their_number_changes() -> None:
    count, seen = counting()
    table = Table(count)
    table.rows(b"a: 1\n")
    looked = len(seen)
    assert table.rows(b"a: 2\n") == [[b"2"]]
    assert len(seen) == looked
    assert table.rows(b"a: 2\nb: 3\n") == [[b"2"], [b"3"]]


def test_a_row_in_the_place_of_another_is_found() -> None:
    table = Table(name_of)
    table.rows(b"a: 1\n")
    assert table.rows(b"b: 2\n") == [[b"2"]]
    assert table.names == ("b",)


def test_an_unwanted_row_that_became_a_wanted_one_is_found_after_a_while() -> None:
    table = Table(name_of)
    table.rows(b"a: 1\nveth0: 1\n")
    found = [len(table.rows(b"a: 1\nb: 2\n")) for _ in range(LOOK_AGAIN + 1)]
    assert found[-1] == 2


def test_an_empty_table_has_no_rows() -> None:
    assert Table(name_of).rows(b"") == []


def test_refuses_a_name_that_is_there_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Table(name_of).rows(b"a: 1\n a: 2\n")
