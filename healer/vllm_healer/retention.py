"""Retention: how long the journal keeps what is over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """Days. What is open, or holds an action back, is kept however old it is."""

    incidents_days: float = 90.0  # since an incident was closed: a quarter's review still finds it
    alerts_days: float = 7.0  # since an alert was heard that belongs to no incident: nobody acts on it
