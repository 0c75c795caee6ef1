"""Is this file an adapter of that model? Everything that llama.cpp's graph would assert is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgellm.errors import EdgeLLMError, ModelFileError, UnsupportedError
from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm.formats.gguf_adapter import AdapterFacts, check_adapter, is_adapter
from edgellm_converters.gguf.encode import encode_entry, make_layout

MODEL = {
    "token_embd.weight": (16, 40),
    "output.weight": (16, 40),
    "blk.0.attn_q.weight": (16, 8),
    "blk.0.attn_norm.weight": (16,),
    "blk.0.ffn_up_exps.weight": (16, 32, 6),
}
KEYS: dict[str, tuple[Any, str]] = {
    "general.architecture": ("llama", "str"),
    "general.type": ("adapter", "str"),
    "adapter.type": ("lora", "str"),
    "adapter.lora.alpha": (8.0, "f32"),
}
QUERY = {"blk.0.attn_q.weight.lora_a": (16, 2), "blk.0.attn_q.weight.lora_b": (2, 8)}


def header_of(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], type_name: str = "F32", **keys: tuple[Any, str] | None
) -> GGUFHeader:
    entries = KEYS | {name.replace("__", "."): value for name, value in keys.items()}
    layout = make_layout(
        [encode_entry((key, *value)) for key, value in entries.items() if value is not None],
        [(name, type_name, shape) for name, shape in tensors.items()],
    )
    path = tmp_path / "adapter.gguf"
    path.write_bytes(layout.header + bytes(layout.total_bytes - len(layout.header)))
    return read_header(path)


def check(header: GGUFHeader, model: dict[str, tuple[int, ...]] = MODEL) -> AdapterFacts:
    return check_adapter(header, "the adapter", "llama", model)


def test_a_good_adapter_says_what_it_is(tmp_path: Path) -> None:
    tensors = QUERY | {
        "token_embd.weight.lora_a": (3, 40),
        "token_embd.weight.lora_b": (3, 16),
        "output.weight.lora_a": (16, 1),
        "output.weight.lora_b": (1, 40),
        "blk.0.ffn_up_exps.weight.lora_a": (16, 5, 6),
        "blk.0.ffn_up_exps.weight.lora_b": (5, 32, 6),
        "blk.0.attn_norm.weight": (16,),
    }
    header = header_of(tmp_path, tensors)
    assert is_adapter(header)
    n_weights = (16 + 8) * 2 + (40 + 16) * 3 + (16 + 40) + (16 + 32) * 5 * 6
    assert check(header) == AdapterFacts(alpha=8.0, rank=5, n_tensors=4, size_bytes=4 * n_weights)


@pytest.mark.parametrize("trailing", [(16, 1, 1), (16,)])
def test_trailing_ones_may_be_written_or_not(tmp_path: Path, trailing: tuple[int, ...]) -> None:
    tensors = {"blk.0.attn_q.weight.lora_a": trailing, "blk.0.attn_q.weight.lora_b": (1, 8, 1, 1)}
    assert check(header_of(tmp_path, tensors)).rank == 1


@pytest.mark.parametrize(
    ("tensors", "type_name", "kind"),
    [
        ({}, "F32", ModelFileError),
        ({"blk.0.attn_norm.weight": (16,)}, "F32", ModelFileError),
        ({"blk.0.attn_q.weight.lora_a": (16, 2)}, "F32", ModelFileError),
        (QUERY | {"blk.0.attn_q.bias": (8,)}, "F32", ModelFileError),
        ({name.replace(".0.", ".1."): shape for name, shape in QUERY.items()}, "F32", ModelFileError),
        (QUERY | {"blk.0.attn_q.weight.lora_a": (15, 2)}, "F32", ModelFileError),
        (QUERY | {"blk.0.attn_q.weight.lora_a": (16, 3)}, "F32", ModelFileError),
        (QUERY | {"blk.0.attn_q.weight.lora_b": (2, 9)}, "F32", ModelFileError),
        (QUERY | {"blk.0.attn_q.weight.lora_a": (16, 2, 2)}, "F32", ModelFileError),
        (QUERY | {"blk.0.attn_q.weight.lora_b": (2, 8, 1, 2)}, "F32", ModelFileError),
        ({"blk.0.attn_norm.weight.lora_a": (16, 2), "blk.0.attn_norm.weight.lora_b": (2, 1)}, "F32", ModelFileError),
        ({"token_embd.weight.lora_a": (3, 40), "token_embd.weight.lora_b": (2, 16)}, "F32", ModelFileError),
        ({"token_embd.weight.lora_a": (16, 3), "token_embd.weight.lora_b": (3, 40)}, "F32", ModelFileError),
        ({"blk.0.ffn_up_exps.weight.lora_a": (16, 5, 6), "blk.0.ffn_up_exps.weight.lora_b": (5, 32)}, "F32",
         ModelFileError),
        (QUERY, "I32", UnsupportedError),
        (QUERY, "F64", UnsupportedError),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], type_name: str, kind: type[EdgeLLMError]
) -> None:
    with pytest.raises(kind) as caught:
        check(header_of(tmp_path, tensors, type_name))
    assert caught.value.hint
    assert "the adapter" in caught.value.message


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"general__type": None}, ModelFileError),
        ({"general__type": ("model", "str")}, ModelFileError),
        ({"general__type": (3, "u32")}, ModelFileError),
        ({"adapter__type": (3, "u32")}, ModelFileError),
        ({"adapter__type": ("control_vector", "str")}, UnsupportedError),
        ({"general__architecture": ("qwen2", "str")}, ModelFileError),
        ({"adapter__lora__alpha": (8, "u32")}, ModelFileError),
        ({"adapter__lora__alpha": (float("nan"), "f32")}, ModelFileError),
        ({"adapter__lora__alpha": (["x"], "arr[str]")}, ModelFileError),
        ({"adapter__alora__invocation_tokens": ([1, 2], "arr[u32]")}, UnsupportedError),
    ],
)
def test_another_kind_of_file_is_refused(
    tmp_path: Path, keys: dict[str, tuple[Any, str] | None], kind: type[EdgeLLMError]
) -> None:
    with pytest.raises(kind) as caught:
        check(header_of(tmp_path, QUERY, **keys))
    assert caught.value.hint


def test_the_table_of_a_tied_model_cannot_be_adapted(tmp_path: Path) -> None:
    header = header_of(tmp_path, {"token_embd.weight.lora_a": (3, 40), "token_embd.weight.lora_b": (3, 16)})
    tied = {name: shape for name, shape in MODEL.items() if name != "output.weight"}
    with pytest.raises(UnsupportedError, match=r"token_embd\.weight"):
        check(header, tied)
