"""How long tests wait for what must happen."""

from __future__ import annotations

# Seconds. On an idle machine everything that is waited for so takes less than two; on one whose two cores build Go
# programs at the same time, twenty times that has been seen. What is a goal of the product has its own limit.
PATIENCE = 45.0
