"""Log lines that were asked for are shown, also in a program that said nothing of its logs."""

from __future__ import annotations

import logging
import sys

FORMAT = "%(levelname)s %(asctime)s %(message)s"  # as vLLM's


def show(logger: logging.Logger) -> None:
    """Has the logger's lines of level INFO written to stderr where the program has not said where they go."""
    logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(handler)
