"""The lists of docs/README.md."""

from __future__ import annotations

from scripts import index_page


def test_each_name_is_a_link_to_its_page_and_stands_once() -> None:
    assert index_page.table({"a server": ["Down", "Stalled", "Down"]}, "runbooks") == (
        "| | |\n|---|---|\n| a server | [Down](runbooks/Down.md), [Stalled](runbooks/Stalled.md) |\n"
    )


def test_every_page_that_is_linked_is_there() -> None:
    for text in (index_page.alert_table(), index_page.healer_table()):
        links = [part.partition(")")[0] for part in text.split("](")[1:]]
        assert len(links) >= 7
        assert [link for link in links if not (index_page.PAGE.parent / link).exists()] == []
