"""Encoders from the outside: packed in either format, shown, planned, moved, and asked for vectors."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from bert_checkpoint import BERT_CONFIG, bert_tensors, hidden_states, make_bert, text_vector
from cli_process import Cli

WIDTH = BERT_CONFIG["hidden_size"]
TEXTS = ("The cat sat on the mat.", "hello world", "x")
LONG = "the cat sat on the mat . " * 20


@pytest.fixture
def packed(bert_home: Path) -> Cli:
    return Cli(bert_home)


@pytest.fixture
def vectors(tiny_bert: Path) -> np.ndarray:
    """Those of TEXTS by the checkpoint's own arithmetic."""
    tokenizer = Tokenizer.from_file(str(tiny_bert / "tokenizer.json"))
    tensors = bert_tensors(BERT_CONFIG)
    return np.stack([text_vector(hidden_states(tensors, tokenizer.encode(text).ids), "mean") for text in TEXTS])


def test_a_bundle_says_what_it_is(packed: Cli) -> None:
    [row] = packed.json("list")
    assert row["recipe"] in ("Q8_0", "INT8_128"), "the best quality of the quantized recipes"
    shown = packed.json("show", row["name"])
    plan = shown["plan"]
    assert plan["encoder"] == {"dimensions": WIDTH, "normalised": True}
    assert (plan["context"], plan["sequences"]) == (48, 1)
    assert plan["predicted_decode"] is None
    assert plan["predicted_memory"]["kv_bytes"] == 0
    assert plan["source"]["architecture"] == "bert"
    assert set(plan["source"]["files"]) == {
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert shown["smoke"]["dimensions"] == WIDTH
    text = packed.run("show", row["name"]).stdout
    assert f"vectors    {WIDTH} numbers, the mean of all tokens, at a length of 1" in text
    assert "context    texts of up to 48 tokens" in text
    assert packed.json("verify")["findings"] == []


def test_the_modelpack_config_says_embedding(packed: Cli) -> None:
    digest = packed.json("show", "tiny-bert")["digest"]
    blobs = packed.home / "store" / "blobs" / "sha256"
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    assert config["config"]["capabilities"]["outputTypes"] == ["embedding"]


def test_texts_become_vectors(packed: Cli, vectors: np.ndarray) -> None:
    answer = packed.json("embed", "tiny-bert", *TEXTS)
    assert (answer["dimensions"], answer["pooling"], answer["normalised"]) == (WIDTH, "mean", True)
    found = np.array([entry["vector"] for entry in answer["embeddings"]])
    assert (found * vectors).sum(axis=1).min() > 0.99
    first, *_ = packed.run("embed", "tiny-bert", "--pooling", "cls", "--no-normalise", TEXTS[0]).stdout.splitlines()
    assert not math.isclose(np.linalg.norm(json.loads(first)), 1, rel_tol=1e-3)


def test_a_long_text_is_refused_unless_it_may_be_cut(packed: Cli) -> None:
    assert "the context holds 48" in packed.run("embed", "tiny-bert", LONG, status=2).stderr
    [entry] = packed.json("embed", "tiny-bert", LONG, "--truncate")["embeddings"]
    assert entry["tokens"] == 48
    [whole] = packed.json("embed", "tiny-bert", " ".join(LONG.split()[:80]), "--context", "96")["embeddings"]
    assert whole["tokens"] > 48


def test_run_says_what_it_is(packed: Cli) -> None:
    for words in (("run", "tiny-bert", "hello"), ("run", "tiny-bert", "hello", "--raw", "--local")):
        said = packed.run(*words, status=1).stderr
        assert "is an encoder, which turns texts into vectors" in said
        assert "edgellm embed" in said


def test_both_formats_are_measured_side_by_side(cli: Cli, tiny_bert: Path) -> None:
    for to_format in ("gguf", "onnx"):
        cli.run("pack", tiny_bert, "--device", "local", "--format", to_format, "--name", f"bert:{to_format}")
    done = cli.run("bench", "bert", "--streams", "3", "--rounds", "2")
    assert "TEXT tok/s" in done.stdout
    assert "3 AT ONCE tok/s" in done.stdout
    assert "ANSWER" not in done.stdout
    assert done.stdout.count("times as fast as the next") == 2
    found = cli.json("bench", "bert", "--prompt", "20", "--rounds", "1")
    assert found["work"] == {"text_tokens": 20, "streams": 8}
    assert sorted(each["format"] for each in found["bundles"]) == ["gguf", "onnx"]
    for each in found["bundles"]:
        assert set(each["median"]) == {"load_s", "text_tokens_per_s", "streams_tokens_per_s"}
        assert all(value > 0 for value in each["median"].values())
        assert each["runs"][0]["anonymous_bytes"] > 0
    assert cli.json("fit", "bert:onnx")["rows"], "nothing is kept that says something of answers"
    assert not (cli.home / "state" / "bench.json").exists()


def test_texts_that_the_encoder_does_not_take_are_refused(packed: Cli) -> None:
    said = packed.run("bench", "tiny-bert", "--prompt", "97", "--rounds", "1", status=2).stderr
    assert "97" in said
    assert "96" in said


def test_an_encoder_is_not_measured_beside_a_model_that_answers(
    packed: Cli, cli: Cli, tiny_llm: Path, tmp_path: Path
) -> None:
    packed.run("export", "tiny-bert", tmp_path / "bert.tar")
    cli.run("import", tmp_path / "bert.tar")
    cli.run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "Q4_0", "--format", "gguf")
    said = cli.run("bench", "tiny-bert", "tiny-llm", "--rounds", "1", status=2).stderr
    assert "is an encoder and" in said
    assert "two runs" in said


@pytest.mark.parametrize("to_format", ["gguf", "onnx"])
def test_fit_knows_it(cli: Cli, tiny_bert: Path, to_format: str) -> None:
    found = cli.json("fit", tiny_bert, "-d", "raspberrypi5", "--format", to_format)
    assert found["choice"] in ("Q8_0", "INT8_128")
    assert found["context"] == 48
    assert all(row["decode"] is None and row["memory"]["kv_bytes"] == 0 for row in found["rows"])
    assert any(row["prefill"] for row in found["rows"])
    assert "encoder" in found["why"]
    wider = cli.json("fit", tiny_bert, "-d", "raspberrypi5", "--format", to_format, "--context", "96")
    assert wider["context"] == 96
    beyond = ("fit", tiny_bert, "-d", "raspberrypi5", "--format", to_format, "--context", "97")
    assert "beyond the 96" in cli.run(*beyond, status=2).stderr


def test_a_bundle_travels_and_gives_the_same_vectors(packed: Cli, cli: Cli, tmp_path: Path) -> None:
    packed.run("export", "tiny-bert", tmp_path / "bert.tar")
    cli.run("import", tmp_path / "bert.tar")
    words = ("embed", "tiny-bert", *TEXTS)
    assert cli.json(*words)["embeddings"] == packed.json(*words)["embeddings"]
    assert cli.json("fit", "tiny-bert")["rows"]


def test_two_packs_of_the_same_input_give_the_same_digest(packed: Cli, cli: Cli, tmp_path: Path) -> None:
    make_bert(tmp_path / "tiny-bert")
    shown = packed.json("show", "tiny-bert")
    to_format = "onnx" if shown["plan"]["recipe"].startswith("INT") else "gguf"
    [again] = cli.json("pack", tmp_path / "tiny-bert", "-d", "raspberrypi", "--format", to_format, "--threads", "1")
    assert again["digest"] == shown["digest"]


def test_the_gguf_by_itself_and_packed_again(cli: Cli, tiny_bert: Path, tmp_path: Path, vectors: np.ndarray) -> None:
    cli.run("pack", tiny_bert, "-d", "raspberrypi5", "--quant", "F16")
    shutil.copyfile(cli.json("show", "tiny-bert")["weights_path"], tmp_path / "bert.gguf")
    found = cli.json("embed", tmp_path / "bert.gguf", *TEXTS)
    assert (np.array([entry["vector"] for entry in found["embeddings"]]) * vectors).sum(axis=1).min() > 0.999
    assert "is an encoder" in cli.run("run", tmp_path / "bert.gguf", "hello", status=1).stderr
    [bundle] = cli.json("pack", tmp_path / "bert.gguf", "-d", "raspberrypi5", "--quant", "Q8_0", "--name", "again")
    assert bundle["plan"]["encoder"] == {"dimensions": WIDTH}
    again = cli.json("embed", "again", *TEXTS)
    assert (np.array([entry["vector"] for entry in again["embeddings"]]) * vectors).sum(axis=1).min() > 0.99


@pytest.mark.parametrize("to_format", ["gguf", "onnx"])
def test_what_is_no_plain_encoder_is_refused(cli: Cli, tmp_path: Path, to_format: str) -> None:
    def refused(name: str, message: str, **changes: object) -> None:
        make_bert(tmp_path / name, config=changes)
        said = cli.run("pack", tmp_path / name, "-d", "raspberrypi5", "--format", to_format, status=1).stderr
        assert message in said

    refused("ranker", "BertForSequenceClassification", architectures=["BertForSequenceClassification"])
    refused("relative", "relative_key", position_embedding_type="relative_key")
    refused("relu", "'relu'", hidden_act="relu")
    make_bert(tmp_path / "dense")
    modules = json.loads((tmp_path / "dense" / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (tmp_path / "dense" / "modules.json").write_text(json.dumps(modules))
    said = cli.run("pack", tmp_path / "dense", "-d", "raspberrypi5", "--format", to_format, status=1).stderr
    assert "Normalize, Dense" in said
    assert cli.json("list") == []


def test_adapters_and_system_prompts_have_no_place_in_it(cli: Cli, tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "system.txt").write_text("Be brief.")
    words = ("pack", tiny_bert, "-d", "raspberrypi5", "--system", tmp_path / "system.txt")
    assert "no chat template" in cli.run(*words, status=2).stderr
    assert cli.json("list") == []


def test_a_pack_without_a_format_says_why_it_is_gguf(cli: Cli, tiny_bert: Path) -> None:
    found = cli.json("fit", tiny_bert, "-d", "raspberrypi5")
    assert found["choice"] == "Q8_0"
    assert "an encoder gives none" in cli.run("fit", tiny_bert, "-d", "raspberrypi5").stdout
