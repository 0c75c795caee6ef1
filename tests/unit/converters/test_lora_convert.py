"""PEFT -> GGUF: names, shapes, the permutation of B, factors; adapters that are torn, lying or for another model."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_maker import CONFIG, StandInVocabulary, make, write_safetensors
from edgellm.errors import CheckpointError, EdgeLLMError, Interrupted, NotFoundError, UnsupportedError, UsageError
from edgellm.formats.gguf import read_header
from edgellm.formats.gguf_adapter import check_adapter
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters import streaming as chunks
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata, write_gguf
from edgellm_converters.lora import AdapterBase, base_of_checkpoint, base_of_gguf, fit_peft, open_peft
from edgellm_converters.recipes import get_recipe
from peft_parts import ALL_LINEAR, make_adapter

UNTIED = CONFIG | {"tie_word_embeddings": False}
Q_NAME = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    make(tmp_path / "base", UNTIED)
    return tmp_path / "base"


@contextmanager
def base_of(folder: Path) -> Iterator[AdapterBase]:
    with open_checkpoint(folder) as opened:
        yield base_of_checkpoint(opened)


def written(adapter: Path, base: AdapterBase, name: str | None = "x") -> bytes:
    opened = open_peft(adapter)
    try:
        fitted = fit_peft(opened, base, GeneralMetadata(name))
        sink = io.BytesIO()
        fitted.write(sink, threads=2, progress=SilentProgress(), cancel=CancelToken())
        assert fitted.size_bytes == len(sink.getvalue())
        return sink.getvalue()
    finally:
        opened.close()


def converted(adapter: Path, base: AdapterBase) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metadata and tensors [rows, columns] of the result."""
    data = written(adapter, base)
    path = adapter.parent / "out.gguf"
    path.write_bytes(data)
    header = read_header(path)
    check_adapter(header, "the result", base.architecture, base.shapes)
    return header.metadata, {
        tensor.name: np.frombuffer(data, np.float32, math.prod(tensor.shape), tensor.offset_bytes).reshape(
            tuple(reversed(tensor.shape))
        )
        for tensor in header.tensors
    }


def test_names_shapes_and_values_follow_the_base(checkpoint: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=(*ALL_LINEAR, "lm_head"))
    with base_of(checkpoint) as base:
        metadata, tensors = converted(tmp_path / "a", base)
    assert len(tensors) == 2 * (2 * 7 + 1)
    assert metadata["general.type"] == "adapter"
    assert metadata["adapter.type"] == "lora"
    assert metadata["adapter.lora.alpha"] == 16.0
    assert metadata["general.architecture"] == "llama"
    assert metadata["general.name"] == "x"
    b = adapter[f"{Q_NAME}.lora_B.weight"]  # 4 heads of 16 rows, their halves interleaved
    np.testing.assert_array_equal(
        tensors["blk.0.attn_q.weight.lora_b"], b.reshape(4, 2, 8, -1).swapaxes(1, 2).reshape(b.shape)
    )
    np.testing.assert_array_equal(tensors["blk.0.attn_q.weight.lora_a"], adapter[f"{Q_NAME}.lora_A.weight"])
    for ours, theirs in {
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_down": "mlp.down_proj",
    }.items():
        prefix = f"base_model.model.model.layers.1.{theirs}"
        np.testing.assert_array_equal(tensors[f"blk.1.{ours}.weight.lora_a"], adapter[f"{prefix}.lora_A.weight"])
        np.testing.assert_array_equal(tensors[f"blk.1.{ours}.weight.lora_b"], adapter[f"{prefix}.lora_B.weight"])
    np.testing.assert_array_equal(tensors["output.weight.lora_b"], adapter["base_model.model.lm_head.lora_B.weight"])


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_families_without_the_permutation_keep_their_rows(tmp_path: Path, family: str) -> None:
    heads = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
    config = CONFIG | {"model_type": family, "architectures": [heads[family]], "head_dim": 16}
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "base", config), targets=("q_proj",))
    with base_of(tmp_path / "base") as base:
        _, tensors = converted(tmp_path / "a", base)
    np.testing.assert_array_equal(tensors["blk.0.attn_q.weight.lora_b"], adapter[f"{Q_NAME}.lora_B.weight"])


def test_an_embedding_is_looked_up_by_rows(checkpoint: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=("embed_tokens",))
    with base_of(checkpoint) as base:
        _, tensors = converted(tmp_path / "a", base)
    prefix = "base_model.model.model.embed_tokens.lora_embedding_"
    np.testing.assert_array_equal(tensors["token_embd.weight.lora_a"], adapter[f"{prefix}A"].T)
    np.testing.assert_array_equal(tensors["token_embd.weight.lora_b"], adapter[f"{prefix}B"])


@pytest.mark.parametrize("step", [1, 3, 7, 64, 1000])
def test_the_size_of_the_pieces_changes_nothing(
    checkpoint: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = make(tmp_path / "b", UNTIED)
    make_adapter(tmp_path / "a", weights, targets=("embed_tokens", "q_proj", "down_proj"), dtype="BF16")
    with base_of(checkpoint) as base:
        whole = written(tmp_path / "a", base)
        monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", step)
        assert written(tmp_path / "a", base) == whole


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_every_dtype_becomes_f32_without_a_loss(checkpoint: Path, tmp_path: Path, dtype: str) -> None:
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=("down_proj",), dtype=dtype)
    with base_of(checkpoint) as base:
        _, tensors = converted(tmp_path / "a", base)
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"
    np.testing.assert_array_equal(tensors["blk.0.ffn_down.weight.lora_b"], adapter[name])


def test_rank_stabilized_adapters_have_alpha_times_the_root(checkpoint: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), use_rslora=True, r=9)
    with base_of(checkpoint) as base:
        metadata, _ = converted(tmp_path / "a", base)
    assert metadata["adapter.lora.alpha"] / 9 == pytest.approx(16 / 3)


def test_other_ranks_and_alphas_of_some_modules_count_as_in_peft(checkpoint: Path, tmp_path: Path) -> None:
    config = {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {"layers.1.mlp.down_proj": 5, "q_proj": 40}}
    weights = make(tmp_path / "b", UNTIED)
    adapter = make_adapter(tmp_path / "a", weights, ranks={"down_proj": 2}, **config)
    with base_of(checkpoint) as base:
        metadata, tensors = converted(tmp_path / "a", base)
    for ours, module, factor in (
        ("blk.0.ffn_down", "model.layers.0.mlp.down_proj", 16 / 2),
        ("blk.1.ffn_down", "model.layers.1.mlp.down_proj", 5 / 2),
        ("blk.0.attn_v", "model.layers.0.self_attn.v_proj", 16 / 4),
    ):
        a, b = tensors[f"{ours}.weight.lora_a"], tensors[f"{ours}.weight.lora_b"]
        theirs = [adapter[f"base_model.model.{module}.lora_{side}.weight"] for side in "BA"]
        expected = factor * theirs[0] @ theirs[1]
        np.testing.assert_allclose(metadata["adapter.lora.alpha"] / len(a) * b @ a, expected, rtol=1e-4, atol=1e-6)


def test_only_one_alpha_needs_no_factor_whatever_the_ranks(checkpoint: Path, tmp_path: Path) -> None:
    weights = make(tmp_path / "b", UNTIED)
    adapter = make_adapter(tmp_path / "a", weights, ranks={"down_proj": 3}, rank_pattern={"down_proj": 3})
    with base_of(checkpoint) as base:
        metadata, tensors = converted(tmp_path / "a", base)
    assert metadata["adapter.lora.alpha"] == 16.0
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"
    np.testing.assert_array_equal(tensors["blk.0.ffn_down.weight.lora_b"], adapter[name])


def test_an_adapter_of_the_bare_model_is_understood(checkpoint: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=("v_proj",))
    path = tmp_path / "a" / "adapter_model.safetensors"
    with base_of(checkpoint) as base:
        whole = written(tmp_path / "a", base)
        write_safetensors(path, {name.replace("model.model.model.", "model.model."): v for name, v in adapter.items()})
        assert written(tmp_path / "a", base) == whole


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "smollm3"])
def test_a_gguf_base_gives_the_bytes_of_its_checkpoint(tmp_path: Path, family: str) -> None:
    classes = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "smollm3": "SmolLM3"}
    config = CONFIG | {
        "model_type": family,
        "architectures": [f"{classes[family]}ForCausalLM"],
        "tie_word_embeddings": False,
        "head_dim": 16,
    }
    make_adapter(tmp_path / "a", make(tmp_path / "base", config), targets=(*ALL_LINEAR, "embed_tokens", "lm_head"))
    with open_checkpoint(tmp_path / "base") as checkpoint, (tmp_path / "m.gguf").open("wb") as sink:
        write_gguf(
            checkpoint, StandInVocabulary(), get_recipe("F16"), sink,
            threads=1, progress=SilentProgress(), cancel=CancelToken(), general=GeneralMetadata("m"),
        )  # fmt: skip
        expected = written(tmp_path / "a", base_of_checkpoint(checkpoint))
    assert written(tmp_path / "a", base_of_gguf(read_header(tmp_path / "m.gguf"))) == expected


def gguf_base(tmp_path: Path, old: bytes, new: bytes) -> AdapterBase:
    make(tmp_path / "base", CONFIG)
    path = tmp_path / "m.gguf"
    with open_checkpoint(tmp_path / "base") as checkpoint, path.open("wb") as sink:
        write_gguf(
            checkpoint, StandInVocabulary(), get_recipe("F32"), sink,
            threads=1, progress=SilentProgress(), cancel=CancelToken(), general=GeneralMetadata("m"),
        )  # fmt: skip
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return base_of_gguf(read_header(path))


def test_a_gguf_of_another_architecture_is_refused_with_the_way_out(tmp_path: Path) -> None:
    base = gguf_base(tmp_path, b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0gemma")
    make_adapter(tmp_path / "a", make(tmp_path / "b"))
    with pytest.raises(UnsupportedError, match="gemma") as caught:
        written(tmp_path / "a", base)
    assert "convert_lora_to_gguf.py" in (caught.value.hint or "")


def test_a_gguf_that_does_not_say_where_its_heads_lie_is_refused(tmp_path: Path) -> None:
    base = gguf_base(tmp_path, b"llama.attention.head_count", b"llama.attention.Head_count")
    make_adapter(tmp_path / "a", make(tmp_path / "b"))
    with pytest.raises(UnsupportedError, match="head_count"):
        written(tmp_path / "a", base)


def test_the_name_of_the_folder_changes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    weights = make(tmp_path / "b", UNTIED)
    make_adapter(tmp_path / "a", weights)
    make_adapter(tmp_path / "some-13B-v2", weights)
    with base_of(checkpoint) as base:
        assert written(tmp_path / "a", base) == written(tmp_path / "some-13B-v2", base)


def refusal(adapter: Path, folder: Path) -> EdgeLLMError:
    with base_of(folder) as base, pytest.raises(EdgeLLMError) as caught:
        written(adapter, base)
    assert caught.value.hint
    return caught.value


def test_modules_that_the_model_does_not_have_are_named(checkpoint: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED | {"num_hidden_layers": 9}), targets=("q_proj",))
    error = refusal(tmp_path / "a", checkpoint)
    assert isinstance(error, CheckpointError)
    assert "model.layers.2.self_attn.q_proj" in error.message
    assert "and 3 more" in error.message


def test_other_shapes_are_named(checkpoint: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED | {"intermediate_size": 80}), targets=("up_proj",))
    error = refusal(tmp_path / "a", checkpoint)
    assert isinstance(error, CheckpointError)
    assert "[80, 64], the model has [96, 64]" in error.message


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_the_tables_of_a_tied_model_cannot_be_adapted(tmp_path: Path, target: str) -> None:
    make(tmp_path / "base", CONFIG)
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=(target,))
    refusal(tmp_path / "a", tmp_path / "base")


def test_copies_of_base_weights_are_passed_over_unless_tokens_were_added(checkpoint: Path, tmp_path: Path) -> None:
    weights = make(tmp_path / "b", UNTIED)
    adapter = make_adapter(tmp_path / "a", weights, targets=("embed_tokens",))
    path = tmp_path / "a" / "adapter_model.safetensors"
    with base_of(checkpoint) as base:
        whole = written(tmp_path / "a", base)
        name = "base_model.model.model.embed_tokens.base_layer.weight"
        write_safetensors(path, adapter | {name: weights["model.embed_tokens.weight"]})
        assert written(tmp_path / "a", base) == whole
    write_safetensors(path, adapter | {name: np.zeros((41, 64), np.float32)})
    assert "tokens were added" in refusal(tmp_path / "a", checkpoint).message


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        (f"{Q_NAME}.lora_magnitude_vector", (64,), "DoRA"),
        ("base_model.model.lm_head.weight", (40, 64), "whole table"),
        (f"{Q_NAME}.lora_B.bias", (64,), "no matrix"),
        (f"{Q_NAME}.hada_w1_a", (64, 4), "no matrix"),
        ("model.layers.0.mlp.up_proj.lora_A.weight", (4, 64), "only lora_A"),
        (f"{Q_NAME.removeprefix('base_model.model.')}.lora_A.weight", (4, 64), "twice"),
    ],
)
def test_what_is_no_part_of_a_lora_is_refused(
    checkpoint: Path, tmp_path: Path, name: str, shape: tuple[int, ...], said: str
) -> None:
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=("q_proj",))
    write_safetensors(tmp_path / "a" / "adapter_model.safetensors", adapter | {name: np.ones(shape, np.float32)})
    assert said in refusal(tmp_path / "a", checkpoint).message


@pytest.mark.parametrize("shapes", [((4, 64), (64, 5)), ((4, 64, 1), (64, 4)), ((0, 64), (64, 0)), ((4,), (64, 4))])
def test_matrices_that_do_not_multiply_are_refused(
    checkpoint: Path, tmp_path: Path, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED))
    halves = {
        f"{Q_NAME}.lora_{side}.weight": np.ones(shape, np.float32) for side, shape in zip("AB", shapes, strict=True)
    }
    write_safetensors(tmp_path / "a" / "adapter_model.safetensors", halves)
    assert isinstance(refusal(tmp_path / "a", checkpoint), CheckpointError)


def test_a_rank_that_the_config_does_not_know_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), ranks={"q_proj": 3})
    assert "rank 3" in refusal(tmp_path / "a", checkpoint).message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(checkpoint: Path, tmp_path: Path, value: float) -> None:
    adapter = make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED))
    adapter[f"{Q_NAME}.lora_B.weight"][5, 1] = value
    write_safetensors(tmp_path / "a" / "adapter_model.safetensors", adapter)
    assert "NaN or infinite" in refusal(tmp_path / "a", checkpoint).message


def test_pickles_are_not_read(tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED))
    (tmp_path / "a" / "adapter_model.safetensors").rename(tmp_path / "a" / "adapter_model.bin")
    with pytest.raises(UnsupportedError, match="pickle") as caught:
        open_peft(tmp_path / "a")
    assert "save_pretrained" in (caught.value.hint or "")
    (tmp_path / "a" / "adapter_model.bin").unlink()
    with pytest.raises(NotFoundError, match=r"adapter_model\.safetensors"):
        open_peft(tmp_path / "a")


def test_another_kind_of_folder_says_what_to_give(tmp_path: Path) -> None:
    make(tmp_path / "model", CONFIG)
    with pytest.raises(UsageError) as caught:
        open_peft(tmp_path / "model")
    assert "whole model" in (caught.value.hint or "")
    make_adapter(tmp_path / "out" / "sql", make(tmp_path / "b", UNTIED))
    with pytest.raises(UsageError) as caught:
        open_peft(tmp_path / "out")
    assert "sql" in (caught.value.hint or "")


def test_files_that_are_torn_or_no_json_are_refused(tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED))
    weights, config = tmp_path / "a" / "adapter_model.safetensors", tmp_path / "a" / "adapter_config.json"
    whole = weights.read_bytes()
    for size in (0, 7, 100, len(whole) - 1):
        weights.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            open_peft(tmp_path / "a")
    weights.write_bytes(whole)
    for text in ("", "[]", "{", "null", '{"a":' * 100000):
        config.write_text(text)
        with pytest.raises(EdgeLLMError):
            open_peft(tmp_path / "a")


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED))
    weights = tmp_path / "a" / "adapter_model.safetensors"
    weights.rename(tmp_path / "elsewhere.safetensors")
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(CheckpointError, match="leaves the folder"):
        open_peft(tmp_path / "a")


def test_writing_can_be_cancelled(checkpoint: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED))
    cancel = CancelToken()
    cancel.cancel()
    with base_of(checkpoint) as base, pytest.raises(Interrupted):
        fit_peft(open_peft(tmp_path / "a"), base, GeneralMetadata("x")).write(
            io.BytesIO(), threads=1, progress=SilentProgress(), cancel=cancel
        )


def test_integers_are_no_adapter(tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", make(tmp_path / "b", UNTIED), targets=("q_proj",))
    path = tmp_path / "a" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(UnsupportedError, match="I32"):
        open_peft(tmp_path / "a")
