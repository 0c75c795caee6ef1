"""Which format `pack` takes without --format: what `bench` measured on this machine decides, and `fit` shows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hub_cli import CHECKPOINT, GGUF, HubCli

from cli_process import Cli

GGUF_RECIPE = "Q4_K_M"  # of a machine without published speeds
WORK = ("--prompt", "256", "--tokens", "8", "--streams", "2", "--rounds", "1")


@pytest.fixture(scope="module")
def benched(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content of bench.json after both formats of tiny-llm, as `auto` packs them, were measured in one run."""
    cli = Cli(tmp_path_factory.mktemp("benched"))
    for to_format in ("gguf", "onnx"):
        cli.run("pack", tiny_llm, "--device", "local", "--format", to_format, "--name", f"mine:{to_format}")
    said = cli.run("bench", "mine", *WORK)
    assert "512 tokens of prompt and 256 of answer: mine:" in said.stdout
    assert "bench.json: `edgellm fit` shows it" in said.stderr
    return dict(json.loads((cli.home / "state" / "bench.json").read_bytes()))


def with_onnx(cli: Cli, benched: dict[str, Any], times: float) -> None:
    """Keep ``benched`` in the home of ``cli``, as if ONNX were ``times`` as fast as GGUF."""
    gguf, onnx = sorted(benched["models"], key=lambda one: str(one["format"]))
    speeds = {name: times * gguf[name] for name in ("prefill", "decode", "together")}
    path = cli.home / "state" / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "models": [gguf, onnx | speeds]}))


def packed(cli: Cli, *words: str | Path) -> dict[str, Any]:
    [bundle] = json.loads(cli.run("pack", *words, "--json").stdout)
    return dict(bundle)


def test_bench_keeps_what_it_measured(benched: dict[str, Any]) -> None:
    found = {one["format"]: one for one in benched["models"]}
    assert set(found) == {"gguf", "onnx"}
    assert found["gguf"]["run"] == found["onnx"]["run"]
    assert found["gguf"]["sizes"] == found["onnx"]["sizes"]
    assert found["onnx"]["machine"]["runtime"].startswith("onnxruntime ")
    assert all(one["prompt_tokens"] == 256 and one["decode"] > 0 for one in found.values())


def test_onnx_is_taken_where_it_was_measured_to_be_faster(cli: Cli, tiny_llm: Path, benched: dict[str, Any]) -> None:
    with_onnx(cli, benched, 2.0)
    fit = cli.json("fit", tiny_llm)
    bundle = packed(cli, tiny_llm, "--device", "local")
    assert bundle["plan"]["runtime"]["name"] == "onnxruntime"
    assert bundle["plan"]["why"].startswith("ONNX. Measured here on ")
    assert "0.50 times as long" in bundle["plan"]["why"]
    assert (fit["format"], fit["choice"]) == ("onnx", bundle["recipe"])
    assert [(row["format"], row["recipe"]) for row in fit["rows"] if row["chosen"]] == [("onnx", bundle["recipe"])]
    other = packed(cli, tiny_llm, "--device", "local", "--format", "gguf")
    assert other["recipe"] == GGUF_RECIPE, "what is asked for counts more"


def test_gguf_is_taken_where_it_was_measured_to_be_faster(cli: Cli, tiny_llm: Path, benched: dict[str, Any]) -> None:
    with_onnx(cli, benched, 0.5)
    said = cli.run("pack", tiny_llm, "--device", "local", "--name", "mine")
    assert "note: GGUF. Measured here on " in said.stderr
    assert "2.00 times as long with ONNX" in " ".join(said.stderr.split())
    assert cli.json("show", "mine")["plan"]["recipe"] == GGUF_RECIPE


def test_what_was_measured_here_says_nothing_about_another_device(
    cli: Cli, tiny_llm: Path, benched: dict[str, Any]
) -> None:
    with_onnx(cli, benched, 2.0)
    fit = cli.json("fit", tiny_llm, "--device", "raspberrypi5")
    assert (fit["format"], fit["rows"][0]["measured"]) == ("gguf", None)
    assert "INT" not in packed(cli, tiny_llm, "--device", "raspberrypi5")["recipe"]
    both = cli.json("pack", tiny_llm, "--device", "local", "--device", "raspberrypi5")
    assert not any(bundle["recipe"].startswith("INT") for bundle in both), "one reading, one format"


def test_fit_shows_both_formats_and_what_was_measured(cli: Cli, tiny_llm: Path, benched: dict[str, Any]) -> None:
    plain = cli.json("fit", tiny_llm)
    assert plain["format"] == "gguf"
    assert "edgellm bench" in plain["format_why"]
    assert {row["format"] for row in plain["rows"]} == {"gguf", "onnx"}
    short, whole = (cli.run("fit", tiny_llm, *more).stdout for more in ((), ("--format", "onnx")))
    assert "MEASURED" not in short
    assert (short.count("  ONNX  "), "more of ONNX: --format onnx" in short) == (1, True)
    assert whole.count("INT") > 10
    with_onnx(cli, benched, 2.0)
    rows = cli.json("fit", tiny_llm)["rows"]
    measured = {row["format"]: row["measured"] for row in rows if row["measured"]}
    assert measured["onnx"]["decode"] == pytest.approx(2 * measured["gguf"]["decode"])
    text = cli.run("fit", tiny_llm).stdout
    assert f"{measured['onnx']['decode']:.1f}, {measured['onnx']['prefill']:.0f}" in text
    assert "what --format gguf takes" in text
    assert [row["format"] for row in cli.json("fit", tiny_llm, "--format", "onnx")["rows"][:1]] == ["onnx"]


def test_a_model_that_cannot_become_onnx_is_said(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llm, folder)
    (folder / "tokenizer.json").unlink()
    fit = cli.json("fit", folder)
    assert fit["format_why"] == "GGUF: no ONNX, tokenizer.json is not there."
    assert {row["format"] for row in fit["rows"]} == {"gguf"}


def test_a_format_that_leaves_less_room_says_for_how_much(cli: Cli, tiny_llm: Path) -> None:
    rows = cli.json("fit", tiny_llm, "--device", "raspberrypi5", "--memory", "270MiB")["rows"]
    assert {row["format"]: row["settings"]["sequences"] for row in rows} == {"gguf": 4, "onnx": 1}
    assert all(("1 at once" in row["note"]) == (row["format"] == "onnx") for row in rows)


def test_measurements_that_cannot_be_kept_are_shown_all_the_same(own_home: Path) -> None:
    cli = Cli(own_home)
    (own_home / "state" / "bench.json").mkdir(parents=True)
    done = cli.run("bench", "tiny-llm", *WORK)
    assert "warning: the measurements are not kept" in done.stderr
    assert "Q4_K_M" in done.stdout


def test_a_hubs_checkpoint_is_chosen_likewise(client: HubCli, benched: dict[str, Any]) -> None:
    with_onnx(client, benched, 2.0)
    fit = client.json("fit", CHECKPOINT, "--device", "local")
    assert fit["format"] == "onnx"
    done = client.run("pull", CHECKPOINT, "--device", "local", "--yes")
    assert fit["choice"] in done.stderr
    [row] = client.json("list")
    plan = client.json("show", row["name"])["plan"]
    assert plan["recipe"] == fit["choice"]
    assert plan["why"].startswith("ONNX. Measured here on ")
    again = client.run("pull", CHECKPOINT, "--device", "local", "--yes")
    assert "is there already" in again.stderr
    assert client.json("fit", GGUF, "--device", "local")["format"] == "gguf"


def test_without_the_onnx_package_the_table_has_one_format_and_says_why(
    cli: Cli, tiny_llm: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['onnx'] = None\n")
    found = json.loads(cli.run("fit", tiny_llm, "--json", environment={"PYTHONPATH": str(tmp_path)}).stdout)
    assert {row["format"] for row in found["rows"]} == {"gguf"}
    assert "the package onnx is not installed" in found["format_why"]
    assert "pip install" in found["format_why"]
