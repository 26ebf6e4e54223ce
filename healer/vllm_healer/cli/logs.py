"""Sets up the log on standard error: one line an event, as text or as JSON."""

from __future__ import annotations

import json
import logging

from vllm_healer.printable import one_line

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
LINE = 2000  # characters; what alerts and other programs say is repeated in messages


class TextLines(logging.Formatter):
    """Writes each message on one line, so that a stranger's text cannot look like a line of ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return one_line(super().formatMessage(record), LINE)


class JsonLines(logging.Formatter):
    """Writes one JSON object a line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def start_logging(as_json: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else TextLines(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
