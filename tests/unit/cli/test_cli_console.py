from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO

from edgellm.cli.console import print_message, printable
from edgellm.cli.progress import make_progress


class Terminal(NamedTuple):
    master: int
    stream: TextIO

    def shown(self) -> str:
        """What was written so far."""
        self.stream.flush()
        text = b""
        while select.select([self.master], [], [], 0.1)[0]:  # the kernel may hand it over in pieces
            text += os.read(self.master, 65536)
        return text.decode().replace("\r\n", "\n")


@contextmanager
def terminal_as_stderr() -> Iterator[Terminal]:
    """In the test itself: pytest replaces sys.stderr between fixtures and test."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    before = sys.stderr
    with os.fdopen(slave, "w") as stream:
        sys.stderr = stream
        try:
            yield Terminal(master, stream)
        finally:
            sys.stderr = before
            os.close(master)


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\x9b31m\r\nc\td\u202a") == "a[2Jb31m\nc\td\u202a"


def test_a_line_that_stays_does_not_run_into_the_one_that_moves() -> None:
    with terminal_as_stderr() as terminal:
        with make_progress(quiet=False) as progress:
            progress.phase("finish")
            print_message("packed tiny")
        shown = terminal.shown()
        assert "\r\x1b[Kpacked tiny\n\r\x1b[Kfinish" in shown
        assert shown.endswith("\r\x1b[K"), "what was packed is the last line that stays"
        print_message("done")
        assert terminal.shown() == "done\n"


def test_the_last_phase_stays_where_nothing_was_said_in_it() -> None:
    with terminal_as_stderr() as terminal:
        with make_progress(quiet=False) as progress:
            progress.phase("verify")
            print_message("a note")
            progress.phase("load")
        assert terminal.shown().endswith("load  0.0 s\n")


def test_names_from_a_hub_cannot_steer_the_terminal_as_progress() -> None:
    with terminal_as_stderr() as terminal:
        with make_progress(quiet=False) as progress:
            progress.phase("downloading \x1b]0;x\x07.gguf")
            progress.message("note: \x1b[2Jterms")
        shown = terminal.shown()
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "downloading ]0;x.gguf" in shown
