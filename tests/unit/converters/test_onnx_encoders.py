"""Encoders as ONNX graphs: valid, of the promised size, the same on every run, and right in every recipe."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from backends import open_encoder, write_onnx_folder
from bert_checkpoint import BERT_CONFIG, BERT_TOKENS, bert_tensors, hidden_states, make_bert, text_vector
from edgellm.formats.onnx_graph import read_graph
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.onnx.data_file import write_data
from edgellm_converters.onnx.model import open_model
from edgellm_converters.onnx.recipes import ONNX_RECIPES, get_onnx_recipe
from edgellm_converters.onnx.shape import shape_of_onnx
from edgellm_runtimes.backend import BackendSettings, TokenSlice

TEXTS = [[2, *range(10, 10 + length), 3] for length in (1, 7, 40)]
# random weights of 64 numbers a row suffer more from four bits than trained ones
ENOUGH = {"FP32": 0.999999, "INT8_128": 0.999, "INT8_DYNAMIC": 0.99}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "bert"
    make_bert(path)
    return path


@pytest.mark.parametrize("recipe", ONNX_RECIPES)
def test_every_recipe_gives_a_model_near_the_original(folder: Path, tmp_path: Path, recipe: str) -> None:
    import onnx

    path = write_onnx_folder(folder, tmp_path, recipe)
    onnx.checker.check_model(str(path))
    backend = open_encoder(path, BackendSettings(context=48, spare_sequences=4))
    try:
        found = backend.text_vectors([TokenSlice(place, text) for place, text in enumerate(TEXTS)])
    finally:
        backend.close()
    tensors = bert_tensors(BERT_CONFIG)
    wanted = np.stack([text_vector(hidden_states(tensors, text), "mean") for text in TEXTS])
    assert (found * wanted).sum(axis=1).min() > ENOUGH.get(recipe, 0.9)


def test_sizes_are_exact_and_runs_are_equal(folder: Path) -> None:
    with open_checkpoint(folder) as checkpoint:
        models = [open_model(checkpoint, get_onnx_recipe(name), 8192) for name in ("FP32", "INT8_128", "INT4_32_M")]
        sinks = [io.BytesIO() for _ in models]
        targets = [(model.graph, sink) for model, sink in zip(models, sinks, strict=True)]
        write_data(checkpoint, targets, threads=2, progress=SilentProgress(), cancel=CancelToken())
        again = io.BytesIO()
        write_data(checkpoint, [(models[1].graph, again)], threads=1, progress=SilentProgress(), cancel=CancelToken())
    assert [len(sink.getvalue()) for sink in sinks] == [model.data_bytes for model in models]
    assert again.getvalue() == sinks[1].getvalue()
    assert models[0].encode("sha256:0") == models[0].encode("sha256:0")


def test_the_shape_before_is_the_shape_after(folder: Path, tmp_path: Path) -> None:
    from edgellm_runtimes.load import LoadRequest
    from edgellm_runtimes.onnx.loader import OnnxLoader

    path = write_onnx_folder(folder, tmp_path, "INT8_128")
    with open_checkpoint(folder) as checkpoint:
        before = shape_of_onnx(open_model(checkpoint, get_onnx_recipe("INT8_128"), 8192), 48)
    after = OnnxLoader(LoadRequest(model_path=path)).shape()
    for field in ("architecture", "n_embd", "n_vocab", "n_heads", "context_length", "layers", "is_encoder", "recipe"):
        assert getattr(before, field) == getattr(after, field), field
    assert before.weights_bytes == after.weights_bytes
    assert before.n_parameters == after.n_parameters
    _, graph = read_graph(path)
    assert set(graph.inputs) == {"input_ids", "attention_mask"}
    assert graph.tensors["token_embd.weight"].shape[0] == len(BERT_TOKENS)
