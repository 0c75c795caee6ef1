"""What the `edgellm` script runs: Ctrl-C while modules still load is an interruption and no traceback."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Load the command line and run it."""
    before = signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
    from edgellm.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()
