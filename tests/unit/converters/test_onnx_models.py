"""ONNX models of checkpoints, run by ONNX Runtime: what their inputs mean, what is stored, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from checkpoint_maker import CONFIG, make
from edgellm.errors import CheckpointError, Interrupted, UsageError
from edgellm.formats.onnx_graph import read_graph
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.onnx.data_file import write_data
from edgellm_converters.onnx.model import open_model
from edgellm_converters.onnx.recipes import ONNX_RECIPES, get_onnx_recipe, matrix_encodings
from edgellm_converters.onnx.weights import DATA_NAME
from onnx_models import TINY_LLM, GraphRun, log_softmax, write_model

TOKENS = [5, 900, 17, 4000, 33, 2048, 71]
FAMILIES = {
    "llama": {},
    "mistral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 3},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 32},
    "smollm3": {"model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"], "num_hidden_layers": 4},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-llm in float32."""
    return write_model(TINY_LLM, tmp_path_factory.mktemp("plain"), "FP32")


def convert(folder: Path, recipe: str, *, threads: int = 2) -> tuple[bytes, bytes]:
    """The graph (without a digest) and the data of a checkpoint."""
    sink = io.BytesIO()
    with open_checkpoint(folder) as checkpoint:
        model = open_model(checkpoint, get_onnx_recipe(recipe), 64)
        write_data(checkpoint, [(model.graph, sink)], threads=threads, progress=SilentProgress(), cancel=CancelToken())
        return model.encode("sha256:" + "0" * 64), sink.getvalue()


def test_without_indices_the_last_token_gets_logits(plain: Path) -> None:
    run = GraphRun(plain)
    every = run.logits(TOKENS)
    run.clear()
    last = run.run(TOKENS, None)
    assert last["logits"].shape == (1, 1, 8192)
    np.testing.assert_allclose(last["logits"][0, 0], every[-1], atol=1e-4)


def test_indices_choose_positions_in_their_order(plain: Path) -> None:
    run = GraphRun(plain)
    every = run.logits(TOKENS)
    run.clear()
    np.testing.assert_allclose(run.logits(TOKENS, [4, 1]), every[[4, 1]], atol=1e-4)
    run.clear()
    assert run.run(TOKENS, [])["logits"].shape == (0, 1, 8192), "a part of a prompt needs none"
    np.testing.assert_allclose(run.logits([9], [0]), GraphRun(plain).logits([*TOKENS, 9])[-1:], atol=1e-4)


def test_hidden_states_come_without_the_head(plain: Path) -> None:
    run = GraphRun(plain)
    session = run.session
    feeds = {
        "input_ids": np.asarray([TOKENS], np.int64),
        "attention_mask": np.ones((1, len(TOKENS)), np.int64),
        "logits_indices": np.arange(len(TOKENS)),
        "logits_count": np.zeros(1, np.int64),
    }
    feeds |= {
        value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
        for value in session.get_inputs()
        if value.name.startswith("past")
    }
    hidden, logits = session.run(["hidden_states", "logits"], feeds)
    assert (hidden.shape, logits.shape) == ((len(TOKENS), 1, 256), (0, 1, 8192))
    np.testing.assert_allclose(hidden, run.run(TOKENS, range(len(TOKENS)))["hidden_states"], atol=1e-5)


def test_rows_of_different_lengths_share_a_batch(plain: Path) -> None:
    """Rows are filled up at their ends; query_lens and the mask say what counts."""
    run = GraphRun(plain)
    lengths = [len(TOKENS), 3, 1]
    ids = np.zeros((3, len(TOKENS)), np.int64)
    mask = np.zeros((3, len(TOKENS)), np.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = TOKENS[:length]
        mask[row, :length] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "query_lens": np.asarray(lengths, np.int32)}
    feeds |= {
        value.name: np.zeros((3, value.shape[1], 0, value.shape[3]), np.float32)
        for value in run.session.get_inputs()
        if value.name.startswith("past")
    }
    [logits] = run.session.run(["logits"], feeds)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(logits[row, 0], GraphRun(plain).logits(TOKENS[:length])[-1], atol=1e-4)


@pytest.mark.parametrize("recipe", ONNX_RECIPES)
def test_every_recipe_says_nearly_the_same_as_float32(recipe: str, plain: Path, tmp_path: Path) -> None:
    expected = log_softmax(GraphRun(plain).logits(TOKENS))
    found = log_softmax(GraphRun(write_model(TINY_LLM, tmp_path, recipe)).logits(TOKENS))
    divergence = float((np.exp(expected) * (expected - found)).sum(-1).mean())
    assert divergence < 0.25
    assert (recipe == "FP32") == (divergence == 0)


@pytest.mark.parametrize("recipe", ["FP32", "INT4_128_M", "INT8_DYNAMIC"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_and_runs(family: str, recipe: str, tmp_path: Path) -> None:
    import onnx

    make(tmp_path / "checkpoint", CONFIG | FAMILIES[family])
    graph = write_model(tmp_path / "checkpoint", tmp_path, recipe, context=64)
    onnx.checker.check_model(str(graph))
    logits = GraphRun(graph).logits([1, 2, 3, 4, 5])
    assert logits.shape == (5, 40)
    assert np.isfinite(logits).all()


def test_rows_that_no_block_divides_are_filled_up(tmp_path: Path) -> None:
    """48 numbers are a block of 32 and half of one: in the embedding as well."""
    make(tmp_path / "odd", CONFIG | {"hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 3})
    exact = GraphRun(write_model(tmp_path / "odd", tmp_path / "exact", "FP32", context=64)).logits([1, 2, 3])
    found = GraphRun(write_model(tmp_path / "odd", tmp_path / "int8", "INT8_128", context=64, accuracy=0))
    assert np.abs(log_softmax(found.logits([1, 2, 3])) - log_softmax(exact)).max() < 1.0


def test_a_block_that_does_not_divide_a_row_becomes_smaller() -> None:
    lengths = {"blk.0.ffn_up.weight": 960, "blk.0.ffn_down.weight": 2560}
    found = matrix_encodings(get_onnx_recipe("INT4_128"), lengths, 4)
    assert {name: encoding.block_size for name, encoding in found.items()} == {
        "blk.0.ffn_up.weight": 64,
        "blk.0.ffn_down.weight": 128,
    }


def test_a_mix_keeps_what_is_sensitive_in_eight_bits() -> None:
    names = {
        f"blk.{layer}.{role}.weight": 256 for layer in range(16) for role in ("attn_qkv", "attn_output", "ffn_down")
    }
    found = matrix_encodings(get_onnx_recipe("INT4_32_M"), names | {"token_embd.weight": 256}, 16)
    eight = {name for name, encoding in found.items() if encoding.bits == 8}
    assert {"token_embd.weight", "blk.0.attn_qkv.weight", "blk.15.ffn_down.weight"} <= eight
    assert not any("attn_output" in name for name in eight)
    assert 0.3 < len(eight) / 33 < 0.7


def test_a_tied_embedding_is_stored_once(plain: Path, tmp_path: Path) -> None:
    _, graph = read_graph(write_model(TINY_LLM, tmp_path, "INT4_32"))
    assert json.loads((TINY_LLM / "config.json").read_text())["tie_word_embeddings"]
    assert not any(name.startswith("output.weight") for name in graph.tensors)
    assert (tmp_path / DATA_NAME).stat().st_size < 0.18 * (plain.parent / DATA_NAME).stat().st_size


def test_recipes_of_one_reading_equal_those_of_their_own(tmp_path: Path) -> None:
    make(tmp_path, CONFIG | {"tie_word_embeddings": False}, dtype="BF16")
    recipes = ["INT4_32", "INT8_DYNAMIC", "FP32", "INT4_64_M_SYM"]
    sinks = [io.BytesIO() for _ in recipes]
    with open_checkpoint(tmp_path) as checkpoint:
        models = [open_model(checkpoint, get_onnx_recipe(recipe), 64) for recipe in recipes]
        targets = [(model.graph, sink) for model, sink in zip(models, sinks, strict=True)]
        write_data(checkpoint, targets, threads=3, progress=SilentProgress(), cancel=CancelToken())
    for recipe, sink in zip(recipes, sinks, strict=True):
        assert sink.getvalue() == convert(tmp_path, recipe)[1]


def test_neither_threads_nor_pieces_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgellm_converters import streaming

    make(tmp_path)
    expected = convert(tmp_path, "INT4_32_M", threads=1)
    monkeypatch.setattr(streaming, "CHUNK_ELEMENTS", 100)
    assert convert(tmp_path, "INT4_32_M", threads=4) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e16])
def test_weights_that_cannot_be_quantized_are_named(value: float, tmp_path: Path) -> None:
    tensors = make(tmp_path / "good")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = value
    make(tmp_path / "bad", tensors=tensors)
    with pytest.raises(CheckpointError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        convert(tmp_path / "bad", "INT4_32")


def test_a_cancelled_conversion_stops(tmp_path: Path) -> None:
    make(tmp_path)
    cancel = CancelToken()
    cancel.cancel()
    with open_checkpoint(tmp_path) as checkpoint:
        targets = [(open_model(checkpoint, get_onnx_recipe("INT4_32"), 64).graph, io.BytesIO())]
        with pytest.raises(Interrupted):
            write_data(checkpoint, targets, threads=2, progress=SilentProgress(), cancel=cancel)


def test_a_recipe_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        get_onnx_recipe("Q4_K_M")
    assert "INT4_128_M_SYM" in (caught.value.hint or "")
