"""Writing a GGUF: sizes are exact, bytes are those of the weights, threads are released, bad weights refused."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_maker import CONFIG, StandInVocabulary, decode, encode, make, tensors_of
from edgellm.errors import CheckpointError, Interrupted
from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters import streaming
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata, gguf_size, write_gguf, write_ggufs
from edgellm_converters.recipes import RECIPES, get_recipe
from edgellm_converters.shape import shape_of

GENERAL = GeneralMetadata("Test Model")
BIG = CONFIG | {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1}


class CountingProgress(SilentProgress):
    """Adds up what is reported."""

    def __init__(self) -> None:
        self.total_bytes: int | None = None
        self.done_bytes = 0

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        self.total_bytes = total_bytes

    def advance(self, size_bytes: int) -> None:
        self.done_bytes += size_bytes


def pack(folder: Path, recipe: str = "F32", **options: Any) -> bytes:
    sink = io.BytesIO()
    arguments: dict[str, Any] = {
        "threads": 2,
        "progress": SilentProgress(),
        "cancel": CancelToken(),
        "general": GENERAL,
    }
    with open_checkpoint(folder) as checkpoint:
        written = write_gguf(checkpoint, StandInVocabulary(), get_recipe(recipe), sink, **(arguments | options))
        assert gguf_size(checkpoint, StandInVocabulary(), get_recipe(recipe), GENERAL) == written.size_bytes
        assert shape_of(checkpoint, get_recipe(recipe)).tensors == written.tensors
    data = sink.getvalue()
    assert len(data) == written.size_bytes
    return data


def header_of(data: bytes, tmp_path: Path) -> GGUFHeader:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


def tensor(data: bytes, header: GGUFHeader, name: str) -> np.ndarray:
    entry = next(entry for entry in header.tensors if entry.name == name)
    return decode(data[entry.offset_bytes : entry.offset_bytes + entry.size_bytes], entry.type).reshape(
        tuple(reversed(entry.shape))
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_sizes_are_exact_and_the_header_reads_back(tmp_path: Path, recipe: str) -> None:
    make(tmp_path / "c", BIG, dtype="BF16")
    data = pack(tmp_path / "c", recipe)
    header = header_of(data, tmp_path)
    assert header.metadata["general.file_type"] == get_recipe(recipe).ftype
    assert header.metadata["general.name"] == "Test Model"
    assert header.metadata["tokenizer.ggml.tokens"] == ["a", "b", "ü"]
    assert header.metadata["llama.embedding_length"] == 256
    assert header.architecture == "llama"


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_weights_arrive_and_q_and_k_are_permuted(tmp_path: Path, dtype: str) -> None:
    weights = make(tmp_path / "c", dtype=dtype)
    data = pack(tmp_path / "c", "F32")
    header = header_of(data, tmp_path)

    def source(name: str) -> np.ndarray:
        return decode(encode(weights[name], dtype), dtype).reshape(weights[name].shape)

    np.testing.assert_array_equal(tensor(data, header, "token_embd.weight"), source("model.embed_tokens.weight"))
    np.testing.assert_array_equal(
        tensor(data, header, "blk.1.ffn_down.weight"), source("model.layers.1.mlp.down_proj.weight")
    )
    found, rows = tensor(data, header, "blk.0.attn_k.weight"), source("model.layers.0.self_attn.k_proj.weight")
    head = 16
    for row in range(rows.shape[0]):
        number, place = divmod(row, head)
        half, index = divmod(place, head // 2)
        np.testing.assert_array_equal(found[number * head + 2 * index + half], rows[row])


def test_biases_are_permuted_like_their_rows(tmp_path: Path) -> None:
    config = CONFIG | {"attention_bias": True}
    weights = make(tmp_path / "c", config)
    data = pack(tmp_path / "c", "F32")
    found = tensor(data, header_of(data, tmp_path), "blk.0.attn_q.bias")
    expected = weights["model.layers.0.self_attn.q_proj.bias"].reshape(4, 2, 8).swapaxes(1, 2).reshape(-1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("recipe", ["F32", "Q4_K_M", "Q8_0", "IQ4_XS"])
def test_the_result_depends_neither_on_threads_nor_on_chunks(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "c", BIG, dtype="BF16")
    data = pack(tmp_path / "c", recipe, threads=1)
    assert pack(tmp_path / "c", recipe, threads=7) == data
    monkeypatch.setattr(streaming, "CHUNK_ELEMENTS", 1 << 12)
    assert pack(tmp_path / "c", recipe, threads=3) == data


def test_shards_and_one_file_give_the_same_result(tmp_path: Path) -> None:
    make(tmp_path / "one" / "model")
    make(tmp_path / "many" / "model", shards=4)
    assert pack(tmp_path / "one" / "model", "Q8_0") == pack(tmp_path / "many" / "model", "Q8_0")


def test_several_recipes_from_one_reading(tmp_path: Path) -> None:
    make(tmp_path / "c", BIG)
    sinks = {name: io.BytesIO() for name in ("Q4_K_M", "Q8_0", "Q4_K_S")}
    progress = CountingProgress()
    with open_checkpoint(tmp_path / "c") as checkpoint:
        targets = [(get_recipe(name), sink) for name, sink in sinks.items()]
        written = write_ggufs(
            checkpoint,
            StandInVocabulary(),
            targets,
            threads=2,
            progress=progress,
            cancel=CancelToken(),
            general=GENERAL,
        )
        source_bytes = sum(entry.size_bytes for entry in checkpoint.tensors.values())
    assert [result.recipe for result in written] == list(sinks)
    for name, sink in sinks.items():
        assert sink.getvalue() == pack(tmp_path / "c", name)
    assert progress.done_bytes == progress.total_bytes == source_bytes


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["model.embed_tokens.weight", "model.layers.1.self_attn.q_proj.weight", "model.norm.weight"]
)
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, dtype: str, value: float, name: str) -> None:
    weights = tensors_of(CONFIG)
    weights[name].reshape(-1)[5] = value
    make(tmp_path / "c", dtype=dtype, tensors=weights)
    gguf_name = {"model.e": "token_embd", "model.l": "attn_q", "model.n": "output_norm"}[name[:7]]
    with pytest.raises(CheckpointError, match=gguf_name):
        pack(tmp_path / "c", "Q8_0")


@pytest.mark.parametrize("recipe", ["F16", "Q8_0"])
def test_weights_too_large_for_a_type_are_refused(
    tmp_path: Path, recipe: str, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = tensors_of(CONFIG)
    weights["model.layers.0.mlp.up_proj.weight"][3, 4] = 3e7
    make(tmp_path / "c", dtype="BF16", tensors=weights)
    with pytest.raises(CheckpointError, match=r"ffn_up.* too large"):
        pack(tmp_path / "c", recipe)
    assert pack(tmp_path / "c", "BF16")


def test_large_finite_weights_are_not_mistaken_for_infinite_ones(tmp_path: Path) -> None:
    weights = tensors_of(CONFIG)
    weights["model.embed_tokens.weight"][:] = 3e38
    make(tmp_path / "c", tensors=weights)
    assert pack(tmp_path / "c", "F32")


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "c")
    with (
        open_checkpoint(tmp_path / "c") as checkpoint,
        pytest.raises(CheckpointError, match="has 41 tokens, the model 40"),
    ):
        gguf_size(checkpoint, StandInVocabulary(n_tokens=41), get_recipe("F32"), GENERAL)


@pytest.mark.parametrize("entry", [("k", -1, "u32"), ("k", "text", "u32"), ("k", 1e60, "f32"), ("k", "\ud800", "str")])
def test_a_value_that_its_type_cannot_hold_is_refused(tmp_path: Path, entry: tuple[str, Any, str]) -> None:
    make(tmp_path / "c")
    with open_checkpoint(tmp_path / "c") as checkpoint, pytest.raises(CheckpointError, match="does not fit"):
        gguf_size(checkpoint, StandInVocabulary(metadata=[entry]), get_recipe("F32"), GENERAL)


class FailingSink:
    """Refuses everything after the header."""

    def __init__(self, error: BaseException, after: int) -> None:
        self.error = error
        self.left = after

    def write(self, data: bytes | memoryview, /) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error


def quantize_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("quantize")]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_sink_stops_everything(tmp_path: Path, error: BaseException) -> None:
    make(tmp_path / "c", BIG)
    with open_checkpoint(tmp_path / "c") as checkpoint, pytest.raises(type(error)):
        write_gguf(
            checkpoint, StandInVocabulary(), get_recipe("Q4_K_M"), FailingSink(error, 3),
            threads=2, progress=SilentProgress(), cancel=CancelToken(), general=GENERAL,
        )  # fmt: skip
    assert quantize_threads() == []


def test_cancelling_stops_between_chunks(tmp_path: Path) -> None:
    make(tmp_path / "c", BIG)
    cancel = CancelToken()

    class CancellingProgress(SilentProgress):
        def advance(self, size_bytes: int) -> None:
            cancel.cancel()

    with pytest.raises(Interrupted):
        pack(tmp_path / "c", "Q4_K_M", cancel=cancel, progress=CancellingProgress())
    assert quantize_threads() == []


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "c")
    with open_checkpoint(tmp_path / "c") as checkpoint:
        path = tmp_path / "c" / "model.safetensors"
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(CheckpointError, match="shorter"):
            write_gguf(
                checkpoint, StandInVocabulary(), get_recipe("F32"), io.BytesIO(),
                threads=2, progress=SilentProgress(), cancel=CancelToken(), general=GENERAL,
            )  # fmt: skip


CARDS = {
    "no front matter": ("# A model\n", True),
    "licence and tags": ("---\nlicense: mit\ntags: [a, b]\nlanguage: [en]\n---\n", True),
    "base model": ("---\nbase_model: someone/Some-Model-7B\n---\n", True),
    "broken YAML": ("---\nlicense: [mit\n---\n", False),
    "tags of the wrong kind": ("---\ntags: [[1, 2], {a: b}]\n---\n", False),
    "not UTF-8": ("---\nlicense: \udcff\n---\n", False),
    "never closed": ("---\nlicense: mit\n", False),
    "endless": ("---\n" + "a: b\n" * 50_000 + "---\n", False),
    "alias bomb": (
        "---\na: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "base_model: [*i]\n---\n",
        False,
    ),
    "no object": ("---\n- a\n---\n", True),
}


@pytest.mark.parametrize(("card", "accepted"), CARDS.values(), ids=CARDS.keys())
def test_model_cards(tmp_path: Path, card: str, accepted: bool) -> None:
    make(tmp_path / "c")
    (tmp_path / "c" / "README.md").write_bytes(card.encode("utf-8", "surrogateescape"))
    if accepted:
        header = header_of(pack(tmp_path / "c"), tmp_path)
        assert header.metadata.get("general.license") == ("mit" if "mit" in card else None)
    else:
        with pytest.raises(CheckpointError, match="front matter"):
            pack(tmp_path / "c")


def test_sampling_defaults_come_from_the_generation_config(tmp_path: Path) -> None:
    make(tmp_path / "c")
    config = tmp_path / "c" / "generation_config.json"
    config.write_text('{"temperature": 1, "top_k": 20, "repetition_penalty": 1.5, "min_p": null}')
    header = header_of(pack(tmp_path / "c"), tmp_path)
    sampling = {key: value for key, value in header.metadata.items() if key.startswith("general.sampling.")}
    assert sampling == {
        "general.sampling.temp": 1.0,
        "general.sampling.top_k": 20,
        "general.sampling.penalty_repeat": 1.5,
    }
    config.write_text('{"top_k": "many"}')
    with pytest.raises(CheckpointError, match="top_k"):
        pack(tmp_path / "c")
