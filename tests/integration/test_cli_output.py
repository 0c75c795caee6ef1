"""Where what a command prints cannot go."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli_process import Cli

UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"])


@UNBUFFERED
@pytest.mark.parametrize("words", [["version"], ["devices", "list", "--json"], ["--help"]])
def test_an_output_that_is_full_is_one_error(cli: Cli, words: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            cli.command(*words),
            env=cli.environment | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: cannot write to standard output: No space left on device",
        "hint: send the output to another place",
    ]


@UNBUFFERED
def test_a_reader_that_has_seen_enough_is_no_error(cli: Cli, unbuffered: str) -> None:
    with subprocess.Popen(
        cli.command("devices", "list", "--json"),
        env=cli.environment | {"PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 0
