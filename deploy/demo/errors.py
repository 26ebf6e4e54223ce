"""The errors of the demo, beside those of deploy.

DemoError
├── NoSuchFailure  no failure of that name; the message lists them
├── NoDemo         nothing runs in the run directory
└── NotCalm        the stack or a server is not as it must be before something is broken
"""

from deploy.errors import DeployError


class DemoError(DeployError):
    """Base of the demo's own errors."""


class NoSuchFailure(DemoError):
    """No failure of that name."""


class NoDemo(DemoError):
    """The demo does not run."""


class NotCalm(DemoError):
    """Something is still broken, or has not started yet."""
