"""What SIGTERM and SIGHUP do to a command that has something to put in order first."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from edgellm.cli.termination import exit_on_signals

PROGRAM = """
import os, signal, sys
from edgellm.cli.termination import exit_on_signals
number = signal.Signals[sys.argv[1]]
signal.signal(number, signal.SIG_IGN if sys.argv[2] == "ignored" else signal.SIG_DFL)
before = signal.getsignal(number)
try:
    with exit_on_signals():
        os.kill(os.getpid(), number)
        print("alive")
finally:
    print("restored" if signal.getsignal(number) == before else "changed")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_block_unless_it_is_ignored(name: str) -> None:
    def run(how: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, name, how], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout.split()

    assert run("ignored") == (0, ["alive", "restored"])
    assert run("default") == (128 + signal.Signals[name], ["restored"])


def test_what_is_handled_outside_python_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[int] = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGHUP else signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", lambda number, _handler: changed.append(number))
    with exit_on_signals():
        pass
    assert changed == [signal.SIGTERM, signal.SIGTERM]
