"""Two ways not to get an answer from a supervisor, for those who look and those who act at once."""

from __future__ import annotations

from vllm_healer.errors import Blind, PermanentError, TemporaryError


class Unreachable(TemporaryError, Blind):
    """It does not answer: Blind for one who looks, temporary for one who acts."""


class Unmanaged(PermanentError, Blind):
    """It has nothing of that name, or does not let us in: nothing to see, and acting again cannot help."""
