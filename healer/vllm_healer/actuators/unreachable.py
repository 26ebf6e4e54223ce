"""Two errors of asking a supervisor; each is the right one both for a look and for an action."""

from __future__ import annotations

from vllm_healer.errors import Blind, PermanentError, TemporaryError


class Unreachable(TemporaryError, Blind):
    """The supervisor does not answer: a look is blind, and an action may be tried again."""


class Unmanaged(PermanentError, Blind):
    """The supervisor has nothing of that name, or does not let us in: a look is blind, and another try cannot help."""
