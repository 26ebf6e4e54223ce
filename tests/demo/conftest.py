"""Order of the demo's tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one that takes a minute and a half begins first: where several processes test, all else goes on beside it."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")
