"""The shape that a model will have equals the shape that the written file has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoint_maker import CONFIG, StandInVocabulary, make
from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.errors import UnsupportedError
from edgellm.formats.gguf import read_header
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata, write_gguf
from edgellm_converters.pread import read_at
from edgellm_converters.recipes import get_recipe
from edgellm_converters.shape import shape_of, shape_of_gguf


def written(folder: Path, recipe: str, target: Path) -> Path:
    with open_checkpoint(folder) as checkpoint, target.open("wb") as sink:
        vocabulary = StandInVocabulary(metadata=[("tokenizer.ggml.tokens", [f"t{i}" for i in range(40)], "arr[str]")])
        write_gguf(
            checkpoint, vocabulary, get_recipe(recipe), sink,
            threads=2, progress=SilentProgress(), cancel=CancelToken(), general=GeneralMetadata("x"),
        )  # fmt: skip
    return target


@pytest.mark.parametrize("recipe", ["F16", "Q4_K_M", "Q8_0"])
def test_the_shape_is_known_before_anything_is_written(tmp_path: Path, recipe: str) -> None:
    config = CONFIG | {"hidden_size": 256, "intermediate_size": 512, "head_dim": 32}
    make(tmp_path / "c", config, dtype="BF16")
    with open_checkpoint(tmp_path / "c") as checkpoint:
        predicted = shape_of(checkpoint, get_recipe(recipe))
    found = shape_from_gguf(read_header(written(tmp_path / "c", recipe, tmp_path / "m.gguf")))
    for field in ("architecture", "n_embd", "n_vocab", "n_heads", "context_length", "layers", "tensors"):
        assert getattr(predicted, field) == getattr(found, field), field
    source = read_header(written(tmp_path / "c", "BF16", tmp_path / "bf16.gguf"))
    requantized = shape_of_gguf(source, get_recipe(recipe))
    assert (requantized.tensors, requantized.recipe) == (predicted.tensors, recipe)


def test_an_ignored_window_caps_the_context(tmp_path: Path) -> None:
    config = CONFIG | {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 48}
    make(tmp_path, config)
    with open_checkpoint(tmp_path) as checkpoint:
        assert shape_of(checkpoint, get_recipe("Q8_0")).context_length == 48


def test_a_quantized_file_has_no_other_shape(tmp_path: Path) -> None:
    make(tmp_path / "c")
    header = read_header(written(tmp_path / "c", "Q8_0", tmp_path / "m.gguf"))
    with pytest.raises(UnsupportedError):
        shape_of_gguf(header, get_recipe("Q4_0"))


@pytest.mark.parametrize("without_preadv", [False, True])
def test_reading_at_an_offset(tmp_path: Path, without_preadv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if without_preadv:
        monkeypatch.delattr(os, "preadv")
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    descriptor = os.open(path, os.O_RDONLY)
    buffer = bytearray(30)
    assert read_at(descriptor, 20, memoryview(buffer)) == 30
    assert bytes(buffer) == bytes(range(20, 50))
    assert read_at(descriptor, 90, memoryview(buffer)) == 10
    os.close(descriptor)
