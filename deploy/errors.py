"""The errors of deploy.

DeployError
├── SettingsError    .env or the environment cannot be used; the message names file, line, key and fix
├── TemplateError    a configuration file of the checkout lacks something that is replaced in it
├── ChannelError     a module of deploy/config/channels does not define one channel
├── ComposeError     docker compose did not do it; the message has its words
├── QueryError       Prometheus did not answer a query
└── NativeError      a part could not be started, stopped or reached
    └── PortInUse    somebody else listens on a port; the message names the owner
"""


class DeployError(Exception):
    """Base of all errors of deploy."""


class SettingsError(DeployError):
    """The user's settings cannot be used."""


class TemplateError(DeployError):
    """A configuration file of the checkout is not what the renderer expects."""


class ChannelError(DeployError):
    """A module of deploy/config/channels does not define exactly one channel."""


class ComposeError(DeployError):
    """docker compose did not do what was asked."""


class QueryError(DeployError):
    """Prometheus did not answer, or refused the query; the message has its words."""


class NativeError(DeployError):
    """A part could not be started, stopped or reached."""


class PortInUse(NativeError):
    """Somebody else listens on a port that a part needs."""


def why(error: Exception) -> str:
    """Returns the reason alone: the path, which an OSError repeats, is in the message already."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
