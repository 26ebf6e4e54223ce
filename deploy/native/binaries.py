"""The programs that come from the system, under the names that distributions give them."""

from __future__ import annotations

import shutil

from deploy.errors import NativeError

_NAMES = {
    "prometheus": ("prometheus",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),  # the second is Debian's and Ubuntu's
    "promtool": ("promtool",),
    "amtool": ("amtool",),
}


def find_binary(part: str) -> str:
    """Its absolute path. Raises NativeError with the fix."""
    for name in _NAMES[part]:
        if path := shutil.which(name):
            return path
    raise NativeError(f"{' or '.join(_NAMES[part])} is not on PATH: run `make install`, or put it there yourself")
