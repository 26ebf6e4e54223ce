"""Act: the remediation uses its handle, and whatever comes of it becomes a Result."""

from __future__ import annotations

from vllm_healer.errors import Blind, JournalError, PermanentError, Superseded, TemporaryError
from vllm_healer.handle import Handle
from vllm_healer.model import Facts, Outcome, Plan, Result
from vllm_healer.registry import Remediations, remediations


def act(plan: Plan, handle: Handle, using: Remediations | None = None) -> Result:
    """Carries out the plan; an actuator's exception becomes a Result as well.

    Raises JournalError when a step could not be journalled. It was not taken then, and the action is finished when the
    journal can be written again.
    """
    known = remediations() if using is None else using
    what = f"{plan.remediation} on {plan.server}"
    if plan.remediation not in known:
        words = f"{what}: there is no such remediation (any more); known: {', '.join(sorted(known))}"
        return Result(Outcome.FAILED, words)
    try:
        return known[plan.remediation].carry_out(handle)
    except JournalError:
        raise
    except Superseded as error:
        return Result(Outcome.ALREADY, str(error), error.incarnation)
    except TemporaryError as error:
        return Result(Outcome.FAILED, f"{what} could not be done now: {error}", retry_after=error.delay)
    except PermanentError as error:
        return Result(Outcome.FAILED, f"{what} cannot be done: {error}; a person must look")
    except Blind as error:
        return Result(Outcome.FAILED, f"{what} was broken off: {error}; a person must look")
    except Exception as error:  # noqa: BLE001 - the plug-in boundary: an unknown error counts as permanent and is told
        return Result(Outcome.FAILED, f"{what} failed with {type(error).__name__}: {error}; a person must look")


def take_back(plan: Plan, handle: Handle, using: Remediations | None = None) -> str:
    """Undoes what can be taken back; returns words about it, or about why it was not. Raises JournalError as `act`."""
    known = (remediations() if using is None else using).get(plan.remediation)
    if known is None:
        return ""
    try:
        return known.take_back(handle)
    except JournalError:
        raise
    except Exception as error:  # noqa: BLE001 - the plug-in boundary: it ends by itself, and the verdict does not wait
        return f"it could not be taken back and ends by itself: {error}"


def untouched(plan: Plan, facts: Facts, using: Remediations | None = None) -> bool:
    """True if the plan's remediation says that nothing has reached the server, whatever step was journalled."""
    known = remediations() if using is None else using
    try:
        return plan.remediation in known and known[plan.remediation].untouched(plan, facts)
    except Exception:  # noqa: BLE001 - the plug-in boundary: what may have begun is carried through
        return False
