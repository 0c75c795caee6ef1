"""Where a server's log goes: lines for people, or one JSON object per line for programs."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Literal, TextIO

import msgspec

__all__ = ["LogFormat", "configure_logs"]

LogFormat = Literal["text", "json"]


def configure_logs(form: LogFormat, *, quiet: bool = False, access: bool = True, stream: TextIO | None = None) -> None:
    """Send what this process logs to ``stream`` (stderr), in ``form``; of other libraries only what they warn of.

    ``quiet`` leaves warnings, without ``access`` there are no lines of requests.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("edgellm").setLevel(logging.WARNING if quiet else logging.INFO)
    if not access:
        logging.getLogger("edgellm.access").setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """Time, level unless it is an information, and the message on one line; a fault of ours with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{moment} {level}{_one_line(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """The same as a JSON object, with what else is known about it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            line["message"] = record.getMessage()
        else:
            line |= fields
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode("utf-8")


def _one_line(text: str) -> str:
    """Nothing that came from outside begins a line of its own, or moves the cursor."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
