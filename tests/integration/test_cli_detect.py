"""`edgellm devices` on the machine that runs the tests."""

from __future__ import annotations

from pathlib import Path

from cli_process import Cli


def test_detect_says_what_this_machine_is(cli: Cli) -> None:
    found = cli.json("devices", "detect")
    assert found["profile"] == cli.json("devices", "show", found["profile"])["profile"]["id"]
    assert found["matched"] == (found["profile"] != "local")
    assert found["threads"] >= 1
    assert found["features"]
    assert found["reasons"]
    assert 0 < found["memory_for_models_bytes"] < found["memory_total_bytes"]
    assert found["storage"]["kind"]
    assert found["calibration"] is None
    text = cli.run("devices", "detect").stdout
    for label in ("board", "profile", "cores", "features", "memory", "storage", "heat", "plan", "speeds"):
        assert f"\n{label}" in "\n" + text


def test_quiet_detect_says_nothing_on_stderr(cli: Cli) -> None:
    assert cli.run("devices", "detect", "--quiet").stderr == ""


def test_fit_without_a_device_is_for_this_machine(cli: Cli, tiny_llm: Path) -> None:
    here = cli.json("devices", "detect")["profile"]
    assert cli.json("fit", tiny_llm)["device"] == here


def test_pack_asks_for_a_device_and_names_this_one(cli: Cli, tiny_llm: Path) -> None:
    here = cli.json("devices", "detect")["profile"]
    assert f"--device {here} for this machine" in cli.run("pack", tiny_llm, status=2).stderr


def test_a_torn_calibration_is_ignored_with_a_word(cli: Cli) -> None:
    folder = cli.home / "state"
    folder.mkdir(parents=True)
    (folder / "calibration.json").write_bytes(b'{"version": 1')
    done = cli.run("devices", "detect")
    assert "is not used" in done.stderr
    assert "n/a" in done.stdout or "thread" in done.stdout
