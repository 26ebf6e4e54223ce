from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def nobody(free_port: Callable[[], int]) -> str:
    """The URL of a port where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"
