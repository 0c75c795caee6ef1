"""The server's log as lines of text, filtered."""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

from edgellm.api.log import LogLine
from edgellm.tui.models.text import Tone, one_line

__all__ = ["LEVELS", "LogFilter", "LogRow", "gap_row", "log_rows"]

Level = Literal["everything", "no requests", "warnings", "errors"]
LEVELS: tuple[Level, ...] = ("everything", "no requests", "warnings", "errors")
_REQUESTS = "edgellm.access"
_TONES: dict[str, Tone] = {"warning": "warning", "error": "bad", "critical": "bad"}


class LogFilter(NamedTuple):
    """Which lines are shown: of what importance, and with which words in them, whatever their case."""

    level: Level = "everything"
    words: str = ""

    @property
    def shows_notes(self) -> bool:
        """True while all lines are shown, or all but requests: notes are about what lies between them."""
        return not self.words and self.level in ("everything", "no requests")

    def shows(self, line: LogLine) -> bool:
        """True for a line that is wanted. All words must be in it, in any order."""
        if self.level == "no requests" and line.logger == _REQUESTS and line.level == "info":
            return False
        if self.level == "warnings" and line.level not in _TONES:
            return False
        if self.level == "errors" and _TONES.get(line.level) != "bad":
            return False
        if not self.words:
            return True
        text = f"{line.level} {line.logger} {line.message} {line.traceback or ''}".lower()
        return all(word in text for word in self.words.lower().split())


class LogRow(NamedTuple):
    """A line as it is shown: the moment (empty where it goes on from the line before), then the text."""

    moment: str
    text: str
    tone: Tone


def log_rows(line: LogLine) -> list[LogRow]:
    """A line of the log, with its traceback below it."""
    tone = _TONES.get(line.level, "quiet" if line.logger == _REQUESTS else "plain")
    level = "" if line.level == "info" else f"{line.level}: "
    moment = time.strftime("%H:%M:%S", time.localtime(line.time))
    rows = [LogRow(moment, level + one_line(line.message), tone)]
    if line.traceback:
        rows += [LogRow("", one_line(text), "quiet") for text in line.traceback.splitlines()]
    return rows


def gap_row(missed: int) -> LogRow:
    """What is shown where lines are missing between two."""
    return LogRow(
        "", f"{missed} line{'s' if missed > 1 else ''} missed: the log grew faster than it was read", "warning"
    )
