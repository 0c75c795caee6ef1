"""Signals that end the program: the terminal is left as it was, or the program ends all the same where it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import termios
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["TerminalState", "end_on_signals"]

_STATUS = 128  # what shells add to the number of a signal that ended a program
_GRACE_S = 5.0
_STREAMS = (0, 1, 2)
_LEAVE = b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m"


class TerminalState:
    """How the terminal is set when this is made; nothing is known where there is none."""

    def __init__(self) -> None:
        self._attributes: list[Any] | None = None
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(0)

    def restore(self) -> None:
        """Set it so again, and leave the screen of the program."""
        with contextlib.suppress(OSError, termios.error):
            os.write(2, _LEAVE)
            if self._attributes is not None:
                termios.tcsetattr(0, termios.TCSANOW, self._attributes)


def end_on_signals(before: TerminalState, end: Callable[[int], None]) -> None:
    """From now on SIGTERM, SIGHUP and SIGINT call ``end`` with the status to exit with.

    What is not done within a few seconds is ended: Textual waits for ever for a terminal that takes nothing. Called on
    the main thread's event loop.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        loop.add_signal_handler(number, partial(_told, number, end, before))


def _told(number: int, end: Callable[[int], None], before: TerminalState) -> None:
    status = _STATUS + number
    threading.Thread(target=_insist, args=(status, before), name="ending", daemon=True).start()
    _let_go()
    end(status)


def _let_go() -> None:
    """A terminal that was closed fails every write, and Textual's writing thread with it: nothing goes there."""
    gone = [stream for stream in _STREAMS if not os.isatty(stream)]
    if gone:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in gone:
            os.dup2(nowhere, stream)
        os.close(nowhere)


def _insist(status: int, before: TerminalState) -> None:
    threading.Event().wait(_GRACE_S)
    before.restore()
    os._exit(status)
