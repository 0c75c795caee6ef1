"""What words on the command line mean, and what must not get into a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli_process import Cli


def copy_of(tiny_llm: Path, folder: Path) -> Path:
    shutil.copytree(tiny_llm, folder)
    return folder


def test_a_bare_name_means_the_store_also_beside_a_folder_of_that_name(packed: Cli, tiny_llm: Path) -> None:
    for command in (["run", "tiny-llm", "Hi", "-n", "2"], ["verify", "tiny-llm"], ["fit", "tiny-llm", "-d", "pi5"]):
        packed.run(*command, cwd=tiny_llm.parent)


def test_fit_of_a_bundle_keeps_its_recipe_and_plan(packed: Cli) -> None:
    fit = packed.json("fit", "tiny-llm", "--device", "raspberrypi4")
    assert (fit["choice"], fit["context"]) == ("Q4_K_M", 512)
    assert "as asked" in fit["why"]


def test_a_link_out_of_the_model_is_not_published(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    model = copy_of(tiny_llm, tmp_path / "linked")
    (tmp_path / "secret").write_text("mine")
    (model / "NOTICE").symlink_to(tmp_path / "secret")
    (model / "LICENSE").symlink_to(model / "README.md")
    cli.run("pack", model, "-d", "raspberrypi5", "--quant", "Q4_0")
    files = {file["path"] for file in cli.json("show", "linked")["files"]}
    assert files == {"model.gguf", "README.md", "LICENSE"}


@pytest.mark.parametrize("source", ["folder", "revision"])
def test_control_characters_are_refused_before_any_work(cli: Cli, tiny_llm: Path, tmp_path: Path, source: str) -> None:
    model = copy_of(tiny_llm, tmp_path / ("esc\x1b[31m" if source == "folder" else "plain"))
    project = tmp_path / "project"
    project.mkdir()
    revision = '\nrevision = "a\\u001b[31m"' if source == "revision" else ""
    path = str(model).replace("\x1b", "\\u001b")
    (project / "edgellm.toml").write_text(f'source = "{path}"\ndevices = ["pi5"]{revision}\n')
    done = cli.run("pack", cwd=project, status=2)
    assert "control characters" in done.stderr
    assert not (cli.home / "store").exists()


def test_a_given_recipe_that_does_not_fit_names_one_that_does(cli: Cli, tiny_llm: Path) -> None:
    done = cli.run("pack", tiny_llm, "-d", "raspberrypizero2w", "--memory", "128MiB", "--quant", "F32", status=4)
    assert "--quant Q" in done.stderr


def test_a_state_folder_that_cannot_be_written_costs_a_warning(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    done = cli.run("pack", tiny_llm, "-d", "pi5", "--quant", "Q4_0", environment={"EDGELLM_STATE": "/proc/nope"})
    assert "warning:" in done.stderr
    assert "packed tiny-llm" in done.stderr


def test_an_archive_is_not_replaced_unasked(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.tar"
    target.write_bytes(b"precious")
    cli.run("pack", tiny_llm, "-d", "pi5", "--quant", "Q4_0", "-o", target, status=2)
    assert target.read_bytes() == b"precious"
    cli.run("pack", tiny_llm, "-d", "pi5", "--quant", "Q4_0", "-o", target, "--force")
    assert "edgellm import" in cli.run("run", target, "Hi", status=2).stderr


def test_the_environment_decides_where_the_project_says_no_device(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    (tmp_path / "edgellm.toml").write_text(f'source = "{tiny_llm}"\nrecipe = "Q4_0"\n')
    cli.run("pack", cwd=tmp_path, environment={"EDGELLM_DEVICE": "rk3588"})
    assert cli.json("list")[0]["device"] == "rk3588"
    assert "--device" in cli.run("pack", cwd=tmp_path, status=2).stderr


@pytest.mark.parametrize("command", [["run"], ["fit", "-d", "pi5"], ["pack", "-d", "pi5"]])
def test_a_home_folder_that_is_none_is_said(cli: Cli, command: list[str]) -> None:
    done = cli.run(
        command[0], "~nobody-of-that-name/x.gguf", *command[1:], *(["Hi"] if command == ["run"] else []), status=2
    )
    assert "home folder" in done.stderr


def test_sampling_parameters_are_checked_before_anything_is_loaded(cli: Cli) -> None:
    assert "temperature" in cli.run("run", "/no/such.gguf", "Hi", "--temperature", "nan", status=2).stderr


def test_a_closed_output_is_no_traceback(packed: Cli) -> None:
    import subprocess

    done = subprocess.run(
        ["sh", "-c", '"$@" >&- 2>&-', "sh", *packed.command("list")], env=packed.environment, check=False
    )
    assert done.returncode == 0


def test_a_store_that_is_a_file_is_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli.run("list", status=2, environment={"EDGELLM_STORE": str(tmp_path / "file")})
    assert "not a folder" in done.stderr


@pytest.mark.parametrize("output", ["x.tar.gz", "x.zip", "x.gguf"])
def test_an_output_of_another_kind_is_refused(cli: Cli, tiny_llm: Path, tmp_path: Path, output: str) -> None:
    assert "FILE.tar" in cli.run("pack", tiny_llm, "-d", "pi5", "-o", tmp_path / output, status=2).stderr


def test_removing_without_a_terminal_needs_yes(packed: Cli) -> None:
    assert "--yes" in packed.run("rm", "tiny-llm", status=2).stderr


def test_a_model_without_chat_template_says_so(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    import json

    model = copy_of(tiny_llm, tmp_path / "base")
    config = json.loads((model / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    assert "--raw" in cli.run("pack", model, "-d", "pi5", "--quant", "Q4_0").stderr
    assert "--raw" in cli.run("run", "base", "Hi", status=2).stderr
    cli.run("run", "base", "Hi", "--raw", "-n", "2")


def test_a_fifo_is_not_waited_for(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "f.toml")
    assert "not a regular file" in cli.run("--config", tmp_path / "f.toml", "list", status=2).stderr
    assert "not a regular file" in cli.run("fit", tiny_llm, "-d", tmp_path / "f.toml", status=2).stderr


def test_nan_in_a_norm_is_refused_in_a_gguf_too(cli: Cli, tiny_gguf: Path, tmp_path: Path) -> None:
    from edgellm.formats.gguf import read_header

    raw = bytearray(tiny_gguf.read_bytes())
    [norm] = [tensor for tensor in read_header(tiny_gguf).tensors if tensor.name == "output_norm.weight"]
    raw[norm.offset_bytes : norm.offset_bytes + 4] = b"\x00\x00\xc0\x7f"
    (tmp_path / "nan.gguf").write_bytes(raw)
    assert (
        "output_norm.weight" in cli.run("pack", tmp_path / "nan.gguf", "-d", "pi5", "--quant", "F16", status=1).stderr
    )


def test_a_path_that_is_not_utf8_is_printed_as_json(packed: Cli, tmp_path: Path) -> None:
    import os
    import shutil

    home = os.fsdecode(os.fsencode(tmp_path) + b"/h\xff")
    shutil.copytree(packed.home, home)
    assert "tiny-llm" in packed.run("show", "tiny-llm", "--json", environment={"EDGELLM_HOME": home}).stdout


@pytest.mark.parametrize("command", ["fit", "run"])
@pytest.mark.parametrize(("name", "status"), [("nope", 3), ("a/b/c", 3), ("tiny-lm", 3), ("n\u00f6pe", 2)])
def test_a_name_that_nothing_has_is_told_what_else_may_be_given(
    packed: Cli, command: str, name: str, status: int
) -> None:
    said = packed.run(command, name, status=status, stdin=b"Hi", environment={"LC_ALL": "C.UTF-8"}).stderr
    assert name in said, "as it was typed"
    assert "checkpoint folder, a GGUF file, or OWNER/MODEL" in said
    assert ("did you mean tiny-llm?" in said) == (name == "tiny-lm")


@pytest.mark.parametrize("name", ["nope", "a/b/c", "tiny-llm"])
def test_pull_proposes_what_can_be_pulled(packed: Cli, name: str) -> None:
    said = packed.run("pull", name, status=3).stderr
    assert "OWNER/MODEL:QUANT" in said
    assert "folder" not in said
    assert ("edgellm run tiny-llm" in said) == (name == "tiny-llm")


def test_pull_packs_what_is_on_this_disk(cli: Cli, tiny_llm: Path) -> None:
    assert "does not exist" in cli.run("pull", "./nope", status=3).stderr
    assert "packed tiny-llm" in cli.run("pull", tiny_llm, "--quant", "Q4_0").stderr
    assert [row["recipe"] for row in cli.json("list")] == ["Q4_0"]


def test_a_terminal_without_a_letter_sees_its_number(cli: Cli) -> None:
    said = cli.run("show", "n\u00f6pe", status=2, environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}).stderr
    assert "n\\xf6pe" in said
