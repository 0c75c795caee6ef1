"""doctor, df, gc --cache and config as a user calls them."""

from __future__ import annotations

import os
from pathlib import Path

from cli_process import Cli


def test_doctor_finds_this_machine_ready_and_creates_nothing(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    answer = cli.json("doctor")
    found = {finding["check"]: finding["status"] for finding in answer["findings"]}
    assert found["llama.cpp"] == found["edgellm's modules"] == found["store"] == "ok"
    assert answer["counts"]["problem"] == 0
    assert not (tmp_path / "home").exists()
    text = cli.run("doctor").stdout
    assert "llama.cpp: llama-cpp-python" in text


def test_doctor_ends_with_1_when_something_is_a_problem(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    config = tmp_path / "home/config/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("no_such_setting = 1\n", encoding="utf-8")
    done = cli.run("doctor", status=1)
    assert "problem  settings:" in done.stdout
    assert done.stdout.count("fix:") >= 1
    assert done.stdout.splitlines()[-1].startswith("1 problem"), "after what it sums up, in a pipe too"


def test_df_and_gc_cache(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    downloads = tmp_path / "home/store/.downloads"
    downloads.mkdir(parents=True)
    (downloads / ("a" * 64 + ".part")).write_bytes(os.urandom(8192))
    model = tmp_path / "hf/hub/models--acme--tiny/blobs"
    model.mkdir(parents=True)
    (model / "0123").write_bytes(bytes(4000))
    environment = {"HF_HOME": str(tmp_path / "hf")}

    text = cli.run("df", environment=environment).stdout
    assert "partial downloads (1)" in text
    assert "Hugging Face cache (1)" in text
    assert "would free 8.0 KiB" in cli.run("gc", "--cache", "--dry-run", environment=environment).stderr

    assert cli.json("gc")["freed_bytes"] == 0
    assert list(downloads.iterdir())
    cli.run("gc", "--cache", environment=environment)
    assert not list(downloads.iterdir())
    assert (model / "0123").exists()

    assert "--cache" in cli.run("gc", "--hub-cache", status=2, environment=environment).stderr
    refused = cli.run("gc", "--cache", "--hub-cache", status=2, environment=environment)
    assert "--yes" in refused.stderr
    assert (model / "0123").exists()
    cli.run("gc", "--cache", "--hub-cache", "--yes", environment=environment)
    assert not model.parent.exists()
    again = cli.run("gc", "--cache", "--hub-cache", "--yes", environment=environment).stderr
    assert "freed 0 B: models of the Hugging Face cache (0)" in again


def test_config_shows_what_holds_beside_what_is_wrong(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    config = tmp_path / "home/config/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('min_speed = "fast"\nthreads = 3\ncolour = 1\n', encoding="utf-8")
    done = cli.run("config", "show", status=2)
    assert ["threads", "3"] in [line.split() for line in done.stdout.splitlines()]
    assert f"{config}: min_speed must be a number above 0 and at most 10000, not 'fast'" in done.stderr
    assert f"{config}: there is no setting 'colour'" in done.stderr
    assert "min_speed must be" in cli.run("list", status=2).stderr
    config.write_text("threads = \n", encoding="utf-8")
    assert "not valid TOML" in cli.run("config", "show", status=2).stderr


def test_a_path_is_named_once(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    for words in (("--config", "/nope.toml", "list"), ("import", "nope.tar")):
        assert cli.run(*words, status=3, cwd=tmp_path).stderr.count("nope") == 1


def test_memory_is_shown_and_asked_for_with_units(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    shown = cli.run("devices", "show", "local").stdout
    assert "sizes:" in shown
    assert shown.partition("default_size: ")[2].partition("\n")[0].endswith("iB")
    assert "did you mean 4GiB?" in cli.run("devices", "show", "pi5", "--memory", "4", status=2).stderr


def test_config_says_where_each_value_and_folder_comes_from(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    config = tmp_path / "home/config/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('min_speed = 7\ndevice = "raspberrypi5"\n', encoding="utf-8")
    done = cli.run("config", "show", "--origin", "--json", environment={"EDGELLM_DEVICE": "rk3588"})
    assert '"rk3588"' in done.stdout
    answer = cli.json("config", "show")
    assert answer["min_speed"] == {"value": 7.0, "origin": str(config)}
    assert answer["threads"]["origin"] == "default"
    assert answer["cache_folder"] == {"value": str(tmp_path / "home/cache"), "origin": "EDGELLM_HOME"}
    assert answer["store"]["origin"] == "EDGELLM_HOME"
    assert cli.run("config").stdout == cli.run("config", "show", "--origin").stdout
    assert "ORIGIN" not in cli.run("config", "show").stdout
