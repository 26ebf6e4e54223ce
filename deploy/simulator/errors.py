"""The errors of the simulator.

SimulatorError
├── OptionError      an option or a script line cannot be used; the message says which and the fix
├── UnknownFailure   no failure of that name; the message lists them
├── NotPossible      a failure that this server cannot show, and what it would need
├── StartFailed      the start ended on purpose, as vLLM's would; `code` is the exit status
└── EngineDead       the engine is gone; the words are vLLM's
"""


class SimulatorError(Exception):
    """Base of all errors of the simulator."""


class OptionError(SimulatorError):
    """An option or a line of a script cannot be used."""


class UnknownFailure(SimulatorError):
    """No failure of that name."""


class NotPossible(SimulatorError):
    """This server cannot show that failure."""


class StartFailed(SimulatorError):
    """The start ends here."""

    def __init__(self, words: str, code: int = 1) -> None:
        super().__init__(words)
        self.code = code


class EngineDead(SimulatorError):
    """The engine is gone."""

    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")
