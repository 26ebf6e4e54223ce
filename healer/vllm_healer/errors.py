"""The errors of the healer.

HealerError
├── ConfigError        the configuration cannot be used; the message names file, line, key and fix
├── PluginError        a detector or remediation module defines no plug-in, or two; the message names them
├── BadPayload         a webhook body that is not an Alertmanager notification (HTTP 400)
│   └── BadEncoding    one whose Content-Encoding is not known or does not fit (HTTP 415)
├── JournalError       the journal could not be written or read; nothing was acknowledged
│   ├── JournalLocked  another healer holds the journal; the message names the holder
│   └── NotWaiting     there is no such request to approve, or it was answered or has expired (HTTP 409)
├── Blind              a source that a decision needs did not answer; no action is taken
├── Superseded         another incarnation lives than the one to act on; it is left alone
├── TemporaryError     an actuator could not do it now; may be tried again after `delay` seconds
└── PermanentError     an actuator cannot do it at all; a person must look

The raiser of Temporary and Permanent says which it is; anything else that escapes an actuator counts as permanent.
"""


class HealerError(Exception):
    """Base of all errors of the healer."""


class ConfigError(HealerError):
    """The configuration cannot be used."""


class PluginError(HealerError):
    """The set of plug-ins cannot be used."""


class BadPayload(HealerError):
    """A webhook body that is not an Alertmanager notification."""


class BadEncoding(BadPayload):
    """A webhook body whose Content-Encoding is not known or does not fit."""


class JournalError(HealerError):
    """The journal could not be written or read."""


class JournalLocked(JournalError):
    """Another healer holds the journal."""


class NotWaiting(JournalError):
    """There is no such request to approve (any more)."""


class Blind(HealerError):
    """A source that a decision needs did not answer."""


class Superseded(HealerError):
    """Another incarnation lives than the one to act on; `incarnation` is its key."""

    def __init__(self, message: str, incarnation: str) -> None:
        super().__init__(message)
        self.incarnation = incarnation


class TemporaryError(HealerError):
    """It cannot be done now; the same command may be tried again after `delay` seconds."""

    def __init__(self, message: str, delay: float = 5.0) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(HealerError):
    """It cannot be done at all; trying again cannot help."""
