"""ONNX bundles on the command line: run, embedded, planned, measured, cleaned up after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cli_process import Cli


@pytest.fixture
def cli(packed_onnx_home: Path, tmp_path: Path) -> Cli:
    """A command line with a copy of the home, which tests may change."""
    home = tmp_path / "home"
    shutil.copytree(packed_onnx_home, home)
    return Cli(home)


def test_a_bundle_is_run_from_where_its_files_lie_and_prepared_once(cli: Cli) -> None:
    arguments = ("run", "tiny-llm", "--raw", "Once upon a time", "--max-tokens", "8", "--temperature", "0")
    first = cli.run(*arguments)
    assert "preparing the weights" in first.stderr
    second = cli.run(*arguments)
    assert "preparing" not in second.stderr
    assert first.stdout == second.stdout
    assert first.stdout.strip()
    prepared = cli.json("df")["prepared"]
    assert prepared["files"] == 1
    assert prepared["size_bytes"] > 1_000_000


def test_answers_in_json_name_the_model(cli: Cli) -> None:
    found = json.loads(cli.run("run", "tiny-llm", "--raw", "Once", "--max-tokens", "4", "--json").stdout)
    assert found["model"]["architecture"] == "llama"
    assert found["model"]["kv_type_k"] == "f32"


def test_texts_become_vectors(cli: Cli) -> None:
    found = json.loads(cli.run("embed", "tiny-llm", "a cat", "a cat", "a dog", "--json").stdout)
    vectors = np.array([entry["vector"] for entry in found["embeddings"]])
    assert vectors.shape == (3, 256)
    assert np.allclose(vectors[0], vectors[1], atol=1e-4)
    assert vectors[0] @ vectors[2] < 0.9999


def test_what_it_takes_is_planned_from_its_graph(cli: Cli) -> None:
    row = cli.json("fit", "tiny-llm")["rows"][0]
    assert row["recipe"] == "INT4_32_M"
    assert row["memory"]["kv_bytes"] > 0


def test_formats_of_a_model_are_measured_side_by_side(cli: Cli, tiny_llm: Path) -> None:
    cli.run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "Q4_0")
    options = ("--prompt", "64", "--tokens", "8", "--streams", "2", "--rounds", "1")
    found = cli.json("bench", "tiny-llm", *options)
    assert sorted(each["format"] for each in found["bundles"]) == ["gguf", "onnx"]
    for each in found["bundles"]:
        assert all(each["median"][field] > 0 for field in ("load_s", "prefill_tokens_per_s", "decode_tokens_per_s"))
        assert each["runs"][0]["anonymous_bytes"] > 0


def test_what_was_prepared_goes_with_its_bundle(cli: Cli) -> None:
    cli.run("run", "tiny-llm", "--raw", "Once", "--max-tokens", "2")
    assert cli.json("gc")["prepared_bytes"] == 0
    cli.run("rm", "tiny-llm", "--yes")
    assert cli.json("gc", "--dry-run")["prepared_bytes"] > 0
    assert cli.json("gc")["prepared_bytes"] > 0
    assert cli.json("df")["prepared"]["files"] == 0


def test_the_smoke_test_of_an_imported_bundle_speaks(cli: Cli, tmp_path: Path) -> None:
    cli.run("export", "tiny-llm", str(tmp_path / "bundle.tar"))
    other = Cli(tmp_path / "other")
    other.run("import", str(tmp_path / "bundle.tar"), "--smoke")
    assert other.json("show", "tiny-llm")["smoke"]["generated_tokens"] > 1


def test_a_damaged_graph_is_told_apart(cli: Cli) -> None:
    graph = Path(cli.json("show", "tiny-llm")["weights_path"])
    data = graph.read_bytes()
    graph.chmod(0o644)
    graph.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    done = cli.run("run", "tiny-llm", "--raw", "Once", status=1)
    assert "damaged" in done.stderr
