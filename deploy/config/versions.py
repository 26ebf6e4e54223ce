"""The release of Alertmanager: channels differ in what they need of it."""

from __future__ import annotations

import re

_TAG = re.compile(r":v?(\d+)\.(\d+)[\w.-]*(?:@|$)")
_SAID = re.compile(r"version (\d+)\.(\d+)")


def version_of_image(image: str) -> tuple[int, int] | None:
    """Returns what the tag says; None for `latest`, or an image of your own."""
    return _numbers(_TAG.search(image))


def version_said(text: str) -> tuple[int, int] | None:
    """Reads what `alertmanager --version` prints; distributions add to it."""
    return _numbers(_SAID.search(text))


def _numbers(match: re.Match[str] | None) -> tuple[int, int] | None:
    return (int(match[1]), int(match[2])) if match else None
