"""The generations of promtool, as the tests of the alerts find them."""

from __future__ import annotations

from tests.alerts.conftest import tools

__all__ = ["tools"]
