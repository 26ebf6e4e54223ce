"""The base class of collectors. A new one is one file in subjects/, its test, and its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from vllm_exporter.clock import Clock, SystemClock
from vllm_exporter.config.config import CollectorConfig, Config
from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.config.options import parse_options
from vllm_exporter.facts.events import Bus
from vllm_exporter.facts.latest import Board
from vllm_exporter.metrics.family import Family, Row

T = TypeVar("T")


@dataclass(frozen=True)
class NoOptions:
    """A collector without options of its own."""


@dataclass(frozen=True)
class Context:
    """Everything that a collector may use. It is passed in, so that tests can replace it."""

    config: Config
    clock: Clock = field(default_factory=SystemClock)
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    board: Board = field(init=False)
    bus: Bus = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "board", Board(self.clock))
        object.__setattr__(self, "bus", Bus(self.clock))

    def options(self, collector: str, cls: type[T]) -> T:
        """Returns the options under `collectors.<collector>`. Raises ConfigError, naming the line and the key."""
        return read_options(self.config, collector, cls)


def read_options(config: Config, collector: str, cls: type[T]) -> T:
    """Returns the options of a collector. Raises ConfigError, naming the line and the key."""
    return parse_options(config.collectors.get(collector, CollectorConfig()).options, cls, collector)


def check_option(config: Config, collector: str, key: str, parse: Callable[[str], object]) -> None:
    """Runs `parse` on an option (on each item of a list) and adds file and line to its ConfigError."""
    value = config.collectors.get(collector, CollectorConfig()).options.get(key)
    if value is not None and value.data:
        for item in value.data if isinstance(value.data, list) else [value]:
            item.checked(parse, f"{collector}.{key}")


class Collector:
    """Reads one subject. Its name comes from its module: in `vllm-exporter list`, in exporter.yml and in labels.

    `collect` runs every `interval` seconds, in one thread at a time and never in a scrape. It yields values of
    `metrics` only. It raises NoData when its subject is not there (healthy, but shown in a metric of its own) and
    SourceError when it should be and is not; any other exception counts as failed too. Values that it yielded before
    raising are dropped.
    """

    metrics: ClassVar[tuple[Family, ...]] = ()
    default_enabled: ClassVar[bool] = True
    interval: ClassVar[float] = 1.0  # seconds
    for_scrapes: ClassVar[bool] = False  # only scrapes wait for it, so it may run as rarely as they come
    turn: ClassVar[int] = 0  # it runs after the collectors of a lower turn, whose facts it reads from the board
    options: ClassVar[type] = NoOptions  # a frozen dataclass: its section of exporter.yml, besides enabled and interval

    def __init__(self, context: Context) -> None:
        self.context = context

    @classmethod
    def check(cls, config: Config, name: str) -> None:
        """Raises ConfigError when its section of exporter.yml cannot be used. Checks nothing else."""
        read_options(config, name, cls.options)

    @classmethod
    def paths(cls, config: Config, name: str) -> Iterable[NamedPath]:
        """Returns the files, directories and sockets that its section names, for `check-config`."""
        return ()

    def collect(self) -> Iterable[Row]:
        raise NotImplementedError

    def close(self) -> None:
        """Ends threads and connections; called once, at shutdown."""
