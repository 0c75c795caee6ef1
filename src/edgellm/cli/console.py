"""What the commands print: data on stdout, everything else on stderr; colour only where a person looks."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from edgellm.cli.event_lines import emit, events_wanted
from edgellm.printable import printable

__all__ = [
    "print_error",
    "print_json",
    "print_message",
    "print_table",
    "print_warning",
    "printable",
    "stderr_through",
    "styled",
]


def styled(text: str, code: str, stream: TextIO) -> str:
    """``text`` in an ANSI style when ``stream`` is a terminal and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def print_error(message: str, hint: str | None, kind: str = "EdgeLLMError") -> None:
    """One line that says what went wrong, one that says what to do. ``kind``: the class of the error."""
    if events_wanted():
        emit("error", type=kind, message=message, hint=hint)
        return
    _stderr(f"{styled('error:', '1;31', sys.stderr)} {printable(message)}\n")
    if hint:
        _stderr(f"{styled('hint:', '1;36', sys.stderr)} {printable(hint)}\n")


def print_warning(message: str) -> None:
    """A line on stderr that begins with "warning:"."""
    if events_wanted():
        emit("warning", text=message)
        return
    _stderr(f"{styled('warning:', '1;33', sys.stderr)} {printable(message)}\n")


def print_message(message: str) -> None:
    """A line on stderr."""
    if events_wanted():
        emit("message", text=message)
        return
    _stderr(f"{printable(message)}\n")


@contextlib.contextmanager
def stderr_through(write: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, lines on stderr go through ``write``, which knows of the line that moves there."""
    global _write
    before, _write = _write, write
    try:
        yield
    finally:
        _write = before


def _stderr(text: str) -> None:
    """Nobody hears us when stderr is full or gone: that changes nothing about what was done."""
    with contextlib.suppress(OSError, ValueError):
        (_write or sys.stderr.write)(text)


_write: Callable[[str], object] | None = None


def print_json(value: Any) -> None:
    """``value`` (builtins or msgspec structs) as indented JSON on stdout; not-finite numbers become null."""
    import msgspec

    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # a path that is not UTF-8: escaped as Python holds it
        import json

        text = json.dumps(msgspec.to_builtins(value), indent=2)
    sys.stdout.write(text + "\n")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """A table on stdout; ``right`` lists the columns that align to the right."""
    cells = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    for index, row in enumerate(cells):
        parts = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        line = "  ".join(parts).rstrip()
        sys.stdout.write((styled(line, "1", sys.stdout) if index == 0 else line) + "\n")
