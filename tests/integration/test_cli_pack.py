"""`edgellm pack` from the outside: the real converter, runtime and store on the small trained checkpoint."""

from __future__ import annotations

import json
import shutil
import signal
import tarfile
import time
from pathlib import Path

import pytest

from cli_process import Cli

NAME = "tiny-llm:raspberrypi5-q4_k_m"


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_packed_checkpoint_is_listed_shown_verified_and_answers(packed: Cli) -> None:
    [row] = packed.json("list")
    assert (row["name"], row["device"], row["recipe"], row["licenses"]) == (
        NAME,
        "raspberrypi5",
        "Q4_K_M",
        ["Apache-2.0"],
    )
    shown = packed.json("show", "tiny-llm")
    assert shown["plan"]["target"]["memory_bytes"] == 8 * 2**30
    assert shown["plan"]["eos_token_ids"] == [2, 0]
    assert shown["plan"]["sampling"] == {"temperature": 0.7, "top_p": 0.9}
    assert shown["smoke"]["generated_tokens"] > 1
    assert {file["path"] for file in shown["files"]} == {"model.gguf", "README.md"}
    assert packed.json("verify")["findings"] == []
    answer = packed.json("run", "tiny-llm", "Hello", "--max-tokens", "8", "--temperature", "0")
    assert answer["timings"]["generated_tokens"] <= 8
    assert answer["text"] == packed.json("run", NAME, "Hello", "-n", "8", "--temperature", "0")["text"]


def test_an_answer_that_was_cut_off_says_so_beside_a_pipe_too(packed: Cli) -> None:
    words = ("run", "tiny-llm", "Once", "--raw", "--temperature", "0", "-n", "3")
    cut = packed.run(*words)
    assert "[cut off at the limit after 3 tokens" in cut.stderr
    assert "cut off" not in cut.stdout
    assert "cut off" not in packed.run(*words, "--quiet").stderr
    stop = cut.stdout.strip()[0]
    assert "cut off" not in packed.run(*words, "--stop", stop).stderr, "it ended by itself"


def test_an_archive_is_told_its_next_step(packed: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    done = packed.run("pack", tiny_llm, "-d", "pi5", "--quant", "Q4_0", "-o", tmp_path / "b c.tar")
    assert f"next: edgellm import '{tmp_path}/b c.tar'" in done.stderr


def test_an_alias_says_what_it_assumes(packed: Cli, tiny_llm: Path) -> None:
    said = packed.run("fit", tiny_llm, "--device", "raspberrypi").stderr
    assert "8 GB" in said
    assert "--memory 4GiB" in said


def test_two_packs_of_the_same_input_give_the_same_digest(
    packed: Cli, cli: Cli, tiny_llm: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "tiny-llm"
    shutil.copytree(tiny_llm, copy)
    [again] = cli.json("pack", copy, "--device", "raspberrypi5", "--quant", "Q4_K_M", "--threads", "1")
    assert again["digest"] == packed.json("show", NAME)["digest"]


def test_several_devices_share_one_model_file(cli: Cli, tiny_llm: Path) -> None:
    bundles = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "-d", "rk3588", "--quant", "Q8_0")
    assert {bundle["device"] for bundle in bundles} == {"raspberrypi5", "rk3588"}
    rows = cli.json("list")
    assert len(rows) == 2
    assert all(row["shared_bytes"] > 8_000_000 for row in rows)
    assert folder_bytes(cli.home / "store") < 1.2 * rows[0]["size_bytes"]
    cli.run("run", "tiny-llm", "x", "-n", "1", status=2)
    cli.run("run", "tiny-llm", "x", "-n", "1", environment={"EDGELLM_DEVICE": "rk3588"})


def test_several_recipes_come_from_one_pass(cli: Cli, tiny_llm: Path) -> None:
    bundles = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "-d", "apple-m1")
    assert {bundle["recipe"] for bundle in bundles} == {"Q8_0", "Q4_K_M"}


def test_packing_again_moves_the_name_and_keeps_the_former(cli: Cli, tiny_llm: Path) -> None:
    [first] = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q4_0", "--name", "demo:a")
    [second] = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q8_0", "--name", "demo:a")
    [row] = cli.json("list")
    assert (row["digest"], row["previous_digest"]) == (second["digest"], first["digest"])
    cli.run("cp", "demo:a@previous", "demo:a")
    assert cli.json("list")[0]["digest"] == first["digest"]
    cli.run("rm", "demo:a", "--yes")
    assert cli.json("list") == []
    before = folder_bytes(cli.home / "store")
    assert cli.json("gc")["freed_bytes"] > 0.9 * before


def test_the_licence_travels_along(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    model = tmp_path / "licensed"
    shutil.copytree(tiny_llm, model)
    (model / "LICENSE").write_text("Do what is right.\n")
    (model / "README.md").write_text("---\nlicense: other\nlicense_name: right-1.0\n---\n")
    said = cli.run("pack", model, "-d", "raspberrypi5", "--quant", "Q4_0").stderr
    assert "the licence LicenseRef-right-1.0 has terms of its own" in said
    shown = cli.run("show", "licensed", "--license").stdout
    assert shown.startswith("LicenseRef-right-1.0\n")
    assert "Do what is right." in shown


def test_a_folder_and_an_archive_hold_the_same_bundle(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    arguments = ("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q4_0", "--output")
    [in_folder] = cli.json(*arguments, tmp_path / "bundle")
    [in_archive] = cli.json(*arguments, tmp_path / "bundle.tar")
    assert in_folder["digest"] == in_archive["digest"]
    with tarfile.open(tmp_path / "bundle.tar") as archive:
        names = set(archive.getnames())
    assert names == {
        str(path.relative_to(tmp_path / "bundle")) for path in (tmp_path / "bundle").rglob("*") if path.is_file()
    }
    cli.run("verify", tmp_path / "bundle")
    cli.run("verify", tmp_path / "bundle.tar")
    cli.run("run", tmp_path / "bundle", "Hello", "-n", "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.tar"]


def test_a_gguf_file_is_adopted_as_it_is_and_requantized_on_request(cli: Cli, tiny_gguf: Path) -> None:
    [adopted] = cli.json("pack", tiny_gguf, "-d", "raspberrypi5", "--quant", "F16", "--name", "f16")
    weights = Path(cli.json("show", "f16")["weights_path"])
    assert weights.read_bytes() == tiny_gguf.read_bytes()
    assert adopted["plan"]["source"]["kind"] == "gguf"
    cli.run("pack", tiny_gguf, "-d", "raspberrypi5", "--quant", "Q4_K_M", "--name", "q4")
    small = Path(cli.json("show", "q4")["weights_path"])
    assert small.stat().st_size < 0.5 * tiny_gguf.stat().st_size
    again = cli.run("pack", small, "-d", "raspberrypi5", "--quant", "Q8_0", status=1).stderr
    assert "adding up errors" in again


def test_a_project_file_says_what_to_pack(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    nothing = cli.run("pack", cwd=project, status=2).stderr
    assert "edgellm init" in nothing
    cli.run("init", tiny_llm, "--device", "rk3588", cwd=project)
    assert "already here" in cli.run("init", tiny_llm, cwd=project, status=2).stderr
    with (project / "edgellm.toml").open("a") as file:
        file.write('revision = "v7"\ncontext = 256\n')
    [bundle] = cli.json_in(project, "pack", "--quant", "Q4_0")
    assert (bundle["device"], bundle["plan"]["context"]) == ("rk3588", 256)
    assert bundle["plan"]["source"]["revision"] == "v7"


def test_a_checkpoint_folder_packs_itself(cli: Cli, tiny_llm: Path) -> None:
    [bundle] = cli.json_in(tiny_llm, "pack", "-d", "raspberrypi5", "--quant", "Q4_0")
    assert bundle["name"] == "tiny-llm:raspberrypi5-q4_0"


def test_ctrl_c_stops_cleanly(cli: Cli, tiny_llm: Path) -> None:
    process = cli.start("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q4_K_M")
    staging = cli.home / "store"
    deadline = time.monotonic() + 60
    while not list(staging.rglob("partial-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)  # until the pack writes; the condition, not the time, is waited for
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (130, 0)
    assert not list(staging.rglob("partial-*"))
    cli.run("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q4_K_M")
    assert cli.json("gc", "--dry-run")["freed_bytes"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--device", "raspberypi5"], 3, "did you mean raspberrypi5"),
        ([], 2, "--device"),
        (["-d", "raspberrypi5", "--quant", "Q9_K"], 2, "Q4_K_M"),
        (["-d", "raspberrypi5", "--memory", "lots"], 2, "not a size"),
        (["-d", "raspberrypi5", "--context", "100000"], 2, "512"),
        (["-d", "raspberrypi5", "--name", "Ünï cödé!"], 2, "not a bundle name"),
        (["-d", "raspberrypi5", "-d", "raspberrypi"], 2, "twice"),
        (["-d", "raspberrypi5", "-d", "rk3588", "-o", "x"], 2, "--output"),
        (["-d", "raspberrypi5", "--min-speed", "nan"], 2, "--min-speed"),
        (["-d", "raspberrypizero2w", "--memory", "64MiB"], 4, "--memory"),
    ],
)
def test_bad_requests_are_refused_in_words(
    cli: Cli, tiny_llm: Path, arguments: list[str], status: int, said: str
) -> None:
    done = cli.run("pack", tiny_llm, *arguments, status=status)
    assert said in done.stderr
    assert done.stderr.splitlines()[-2 if "hint:" in done.stderr else -1].startswith(("error:", "Error:", "hint:"))
    assert not (cli.home / "store").exists()


def test_what_does_not_fit_can_be_forced(cli: Cli, tiny_llm: Path) -> None:
    [bundle] = cli.json("pack", tiny_llm, "-d", "raspberrypizero2w", "--memory", "64MiB", "--force")
    assert bundle["verdict"] == "does not fit"


def test_a_broken_template_is_said_at_run_time_and_raw_works(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    model = tmp_path / "bomb"
    shutil.copytree(tiny_llm, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    cli.run("pack", model, "-d", "raspberrypi5", "--quant", "Q4_0")
    done = cli.run("run", "bomb", "Hello", "-n", "2", status=5)
    assert "chat template" in done.stderr
    cli.run("run", "bomb", "Hello", "-n", "2", "--raw")


def test_fit_says_what_the_model_file_takes(cli: Cli, tiny_gguf: Path) -> None:
    said = {row["recipe"]: row["size_bytes"] for row in cli.json("fit", tiny_gguf, "-d", "raspberrypi5")["rows"]}
    assert said["F16"] == tiny_gguf.stat().st_size
    cli.run("pack", tiny_gguf, "-d", "raspberrypi5", "--quant", "Q4_K_M", "--name", "made")
    made = Path(cli.json("show", "made")["weights_path"]).stat().st_size
    assert abs(said["Q4_K_M"] - made) < 4096  # padding between tensors
    assert cli.json("fit", "made", "-d", "raspberrypi5")["rows"][0]["size_bytes"] == made
