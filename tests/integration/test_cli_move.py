"""`edgellm export` and `edgellm import` as they are typed: files, folders and pipes between two homes."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
from pathlib import Path

import pytest

from cli_process import Cli

NAME = "tiny-llm:raspberrypi5-q4_k_m"


@pytest.fixture
def there(tmp_path: Path) -> Cli:
    """Another machine: a home of its own."""
    return Cli(tmp_path / "there")


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.name != ".lock"}


EMPTY_STORE = {"store/index.json", "store/oci-layout", "store/.reserve"}


@pytest.mark.parametrize("target", ["bundle.tar", "bundle"])
def test_a_bundle_moves_and_runs(packed: Cli, there: Cli, tmp_path: Path, target: str) -> None:
    sent = packed.json("export", NAME, tmp_path / target)
    assert sent["bundles"][0]["licenses"] == ["Apache-2.0"]
    came = there.json("import", tmp_path / target, "--smoke")
    assert came["bundles"][0]["name"] == NAME
    assert came["bundles"][0]["digest"] == sent["bundles"][0]["digest"]
    assert came["bundles"][0]["smoke"]["tokens_per_s"] > 0
    assert came["skipped_bytes"] == 0
    assert there.json("verify")["findings"] == []
    assert there.json("show", NAME)["smoke"] is not None
    again = there.run("import", tmp_path / target)
    assert "0 B written" in again.stderr
    assert "made for Raspberry Pi 5" in again.stderr
    there.run("import", tmp_path / target, "--quiet", "--name", "other")
    assert len(there.json("list")) == 2


def test_a_pipe_carries_a_bundle(packed: Cli, there: Cli) -> None:
    sender = subprocess.Popen(
        packed.command("export", NAME, "-"), env=packed.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert sender.stdout is not None
    reader = subprocess.run(
        there.command("import", "-", "--json"), env=there.environment, stdin=sender.stdout, capture_output=True
    )
    sender.stdout.close()
    _, said = sender.communicate()
    assert (sender.returncode, reader.returncode) == (0, 0), said + reader.stderr
    assert there.json("verify")["findings"] == []


def test_a_named_pipe_is_read_like_standard_input(packed: Cli, there: Cli, tmp_path: Path) -> None:
    packed.run("export", NAME, tmp_path / "b.tar")
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cp", tmp_path / "b.tar", tmp_path / "pipe"]):
        there.run("import", tmp_path / "pipe")
    assert [row["name"] for row in there.json("list")] == [NAME]


def test_what_is_no_archive_is_refused(there: Cli, tmp_path: Path) -> None:
    assert "standard input is empty" in there.run("import", "-", status=5).stderr
    assert "gzip" in there.run("import", "-", status=1, stdin=gzip.compress(bytes(9000))).stderr
    assert "not a tar archive" in there.run("import", "-", status=5, stdin=b"GGUF" + bytes(range(250)) * 9).stderr
    (tmp_path / "folder").mkdir()
    there.run("import", tmp_path / "folder", status=5)
    there.run("import", tmp_path / "missing.tar", status=3)
    there.run("import", "-", "--name", "../x", status=2)
    assert files(there.home) <= EMPTY_STORE


def test_outputs_are_not_written_over_by_accident(packed: Cli, tmp_path: Path) -> None:
    target = tmp_path / "b.tar"
    packed.run("export", NAME, target)
    before = target.read_bytes()
    assert "--force" in packed.run("export", NAME, target, status=2).stderr
    packed.run("export", NAME, target, "--force")
    assert target.read_bytes() == before
    packed.run("export", NAME, tmp_path / "b.tar.gz", status=2)
    packed.run("export", NAME, tmp_path, status=2)
    packed.run("export", NAME, "-", "--json", status=2)
    packed.run("export", NAME, NAME, tmp_path / "twice.tar", status=2)
    packed.run("export", "nothing", tmp_path / "c.tar", status=3)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["b.tar"]


@pytest.mark.parametrize(
    ("words", "message", "example"),
    [
        (("tiny-llm",), "the destination of tiny-llm is missing", "edgellm export tiny-llm tiny-llm.tar"),
        (("b.tar",), "which bundle?", "edgellm export NAME b.tar"),
        (("-",), "which bundle?", "edgellm export NAME -"),
        ((), "which bundle, and where to?", "edgellm export NAME FILE.tar"),
    ],
)
def test_a_forgotten_word_is_named_with_an_example(
    cli: Cli, words: tuple[str, ...], message: str, example: str
) -> None:
    said = cli.run("export", *words, status=2).stderr
    assert message in said
    assert f"hint: {example}" in said


def test_a_terminal_gets_no_archive(packed: Cli) -> None:
    leader, terminal = os.openpty()
    try:
        done = subprocess.run(
            packed.command("export", NAME, "-"), env=packed.environment, stdout=terminal, stderr=subprocess.PIPE
        )
        assert done.returncode == 2
        assert b"terminal" in done.stderr
        done = subprocess.run(
            packed.command("import", "-"), env=packed.environment, stdin=terminal, stderr=subprocess.PIPE
        )
        assert done.returncode == 2
        assert b"terminal" in done.stderr
    finally:
        os.close(leader)
        os.close(terminal)


def test_a_reader_that_goes_away_ends_the_export_with_an_error(packed: Cli) -> None:
    with subprocess.Popen(
        packed.command("export", NAME, "-"), env=packed.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sender:
        assert sender.stdout is not None
        assert sender.stderr is not None
        assert len(sender.stdout.read(1000)) == 1000
        sender.stdout.close()
        said = sender.stderr.read().decode()
    assert sender.returncode == 1
    assert "the program that reads it has ended" in said
    assert "Traceback" not in said


def test_a_damaged_bundle_does_not_travel(cli: Cli, there: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    cli.run("pack", tiny_llm, "--device", "raspberrypi5", "--quant", "Q4_0")
    weights = Path(cli.json("show", "tiny-llm")["weights_path"])
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    (tmp_path / "out").mkdir()
    for target in ("b.tar", "b"):
        assert "damaged" in cli.run("export", "tiny-llm", tmp_path / "out" / target, status=5).stderr
    assert list((tmp_path / "out").iterdir()) == []
    torn = subprocess.run(cli.command("export", "tiny-llm", "-"), env=cli.environment, capture_output=True)
    assert torn.returncode == 5
    there.run("import", "-", status=5, stdin=torn.stdout)
    assert files(there.home) == EMPTY_STORE


def test_ctrl_c_ends_an_import_that_waits_and_leaves_nothing(there: Cli) -> None:
    with subprocess.Popen(
        there.command("import", "-"), env=there.environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stderr.readline() == b"receive\n"
        process.send_signal(signal.SIGINT)
        process.wait()
    assert process.returncode == 130
    assert files(there.home) == EMPTY_STORE
    assert list((there.home / "store" / ".staging").iterdir()) == []
