"""Adapters at run time: what comes out equals weights with the adapter merged in; wrong files are errors of ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_maker import CONFIG, make, tensors_of, write_safetensors
from edgellm.errors import BackendError, DoesNotFitError, EdgeLLMError, ModelFileError, NotFoundError, UsageError
from edgellm.formats.gguf import read_header
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata, write_gguf
from edgellm_converters.gguf.encode import encode_entry, make_layout
from edgellm_converters.recipes import get_recipe
from edgellm_converters.tokenizer import load_vocabulary
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.generation import AdapterUse
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from edgellm_runtimes.load import LoadRequest, load_backend
from edgellm_runtimes.smoke import run_smoke
from peft_parts import ALL_LINEAR, FAMILIES, make_adapter, merged, read_checkpoint, write_adapter

EXACT = BackendSettings(
    context=128,
    sequences=2,
    batch=64,
    ubatch=64,
    outputs=64,
    kv_type_k="f32",
    kv_type_v="f32",
    flash_attention=False,
    repack=False,
)
PROMPT = [1, 500, 17, 23, 999, 4000, 8000, 3, 77, 1234]
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
Q = ("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b")


def write_model(folder: Path, target: Path, recipe: str) -> Path:
    with open_checkpoint(folder) as checkpoint, target.open("wb") as sink:
        write_gguf(
            checkpoint, load_vocabulary(folder, checkpoint.config), get_recipe(recipe), sink,
            threads=1, progress=SilentProgress(), cancel=CancelToken(), general=GeneralMetadata("x"),
        )  # fmt: skip
    return target


def with_weights(folder: Path, target: Path, weights: dict[str, np.ndarray]) -> Path:
    """A copy of the checkpoint in ``folder`` with other weights, in F32."""
    shutil.copytree(folder, target)
    write_safetensors(target / "model.safetensors", weights)
    return target


def logits(backend: LlamaBackend, *uses: AdapterUse) -> np.ndarray:
    backend.set_adapters(uses)
    backend.drop_sequence(0)
    return backend.decode([TokenSlice(0, PROMPT, len(PROMPT))]).copy()


def distance(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference, in standard deviations of the logits."""
    return float(np.abs(left - right).max() / right.std())


@pytest.fixture(scope="module")
def folder(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-llm, two adapters, and what both stand for, in F32."""
    root = tmp_path_factory.mktemp("adapters")
    base = read_checkpoint(tiny_llm)
    first = make_adapter(root / "one", base)
    second = make_adapter(root / "two", base, targets=("q_proj", "o_proj", "down_proj"), r=6, seed=2, use_rslora=True)
    write_model(tiny_llm, root / "base.gguf", "F32")
    for name in ("one", "two"):
        write_adapter(root / name, tiny_llm, root / f"{name}.gguf")
    one = merged(base, first)
    two = merged(base, second, r=6, use_rslora=True)
    write_model(with_weights(tiny_llm, root / "merged-one", one), root / "merged-one.gguf", "F32")
    write_model(with_weights(tiny_llm, root / "merged-two", two), root / "merged-two.gguf", "F32")
    mixed = {name: base[name] + 0.5 * (one[name] - base[name]) - 0.25 * (two[name] - base[name]) for name in base}
    write_model(with_weights(tiny_llm, root / "merged-mixed", mixed), root / "merged-mixed.gguf", "F32")
    return root


@pytest.fixture
def backend(folder: Path) -> Iterator[LlamaBackend]:
    adapters = {name: folder / f"{name}.gguf" for name in ("one", "two")}
    loaded = LlamaBackend(folder / "base.gguf", EXACT, adapters=adapters)
    yield loaded
    loaded.close()


def alone(path: Path) -> np.ndarray:
    loaded = LlamaBackend(path, EXACT)
    try:
        return logits(loaded)
    finally:
        loaded.close()


def test_an_adapter_equals_weights_with_it_merged_in(folder: Path, backend: LlamaBackend) -> None:
    base = logits(backend)
    assert distance(base, alone(folder / "base.gguf")) == 0
    for name in ("one", "two"):
        adapted = logits(backend, AdapterUse(name))
        assert distance(adapted, base) > 0.5
        assert distance(adapted, alone(folder / f"merged-{name}.gguf")) < 1e-3


def test_several_adapters_add_up_with_their_scales_in_any_order(folder: Path, backend: LlamaBackend) -> None:
    uses = [AdapterUse("one", 0.5), AdapterUse("two", -0.25)]
    adapted = logits(backend, *uses)
    assert distance(adapted, alone(folder / "merged-mixed.gguf")) < 1e-3
    assert distance(logits(backend, *reversed(uses)), adapted) == 0


def test_without_an_adapter_the_model_is_as_before(backend: LlamaBackend) -> None:
    base = logits(backend)
    logits(backend, AdapterUse("one"))
    assert distance(logits(backend), base) == 0
    assert distance(logits(backend, AdapterUse("one", 0.0)), base) == 0


@pytest.mark.parametrize("recipe", ["F16", "Q8_0"])
def test_a_quantized_base_takes_the_same_adapter(folder: Path, tiny_llm: Path, tmp_path: Path, recipe: str) -> None:
    path = write_model(tiny_llm, tmp_path / "base.gguf", recipe)
    loaded = LlamaBackend(path, EXACT, adapters={"one": folder / "one.gguf"})
    try:
        adapted = logits(loaded, AdapterUse("one"))
        base = logits(loaded)
    finally:
        loaded.close()
    expected = alone(folder / "merged-one.gguf")
    assert distance(adapted, expected) < 0.2 * distance(base, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_every_matrix(tiny_llm: Path, tmp_path: Path, family: str) -> None:
    config = CONFIG | {
        "model_type": family,
        "architectures": [FAMILIES[family]],
        "vocab_size": 8192,
        "num_hidden_layers": 4,
        "head_dim": 16,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    weights = {
        name: values / np.float32(np.sqrt(values.shape[-1])) if values.ndim == 2 else values
        for name, values in tensors_of(config).items()
    }
    make(tmp_path / "base", config, tensors=weights)
    for name in TOKENIZER:
        shutil.copy(tiny_llm / name, tmp_path / "base" / name)
    targets = (*ALL_LINEAR, "embed_tokens", "lm_head")
    adapter = make_adapter(tmp_path / "lora", weights, targets=targets, ranks={"v_proj": 2}, rank_pattern={"v_proj": 2})
    write_model(tmp_path / "base", tmp_path / "base.gguf", "F32")
    write_adapter(tmp_path / "lora", tmp_path / "base", tmp_path / "lora.gguf")
    other = with_weights(tmp_path / "base", tmp_path / "merged", merged(weights, adapter))
    expected = alone(write_model(other, tmp_path / "merged.gguf", "F32"))
    loaded = LlamaBackend(tmp_path / "base.gguf", EXACT, adapters={"x": tmp_path / "lora.gguf"})
    try:
        assert distance(logits(loaded), expected) > 0.5
        assert distance(logits(loaded, AdapterUse("x")), expected) < 1e-3
    finally:
        loaded.close()


def test_an_unknown_name_is_an_error_that_names_the_others(backend: LlamaBackend) -> None:
    adapted = logits(backend, AdapterUse("one"))
    with pytest.raises(NotFoundError, match="three") as caught:
        backend.set_adapters([AdapterUse("two"), AdapterUse("three")])
    assert "one, two" in (caught.value.hint or "")
    backend.drop_sequence(0)
    again = backend.decode([TokenSlice(0, PROMPT, len(PROMPT))])
    assert distance(again, adapted) == 0, "what was set stays set"


@pytest.mark.parametrize(
    "uses",
    [
        [AdapterUse("one"), AdapterUse("one")],
        [AdapterUse("one", float("nan"))],
        [AdapterUse("one", float("inf"))],
    ],
)
def test_impossible_uses_are_refused(backend: LlamaBackend, uses: list[AdapterUse]) -> None:
    with pytest.raises(UsageError, match="one"):
        backend.set_adapters(uses)


def test_a_model_without_adapters_says_how_to_get_them(folder: Path) -> None:
    loaded = LlamaBackend(folder / "base.gguf", EXACT)
    try:
        assert loaded.capabilities >= {"adapters"}
        loaded.set_adapters([])
        with pytest.raises(NotFoundError) as caught:
            loaded.set_adapters([AdapterUse("one")])
        assert "--adapter" in (caught.value.hint or "")
    finally:
        loaded.close()
    with pytest.raises(BackendError, match="closed"):
        loaded.set_adapters([])


class _Counting:
    """The library, with its calls of one function counted."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._lib, name)


def test_nothing_is_called_when_nothing_changes(backend: LlamaBackend) -> None:
    counting = _Counting(backend._lib)
    backend._adapters._lib = counting
    backend.set_adapters([])
    assert counting.calls == []
    backend.set_adapters([AdapterUse("one"), AdapterUse("two", 0.5)])
    assert counting.calls.count("llama_set_adapters_lora") == 1
    assert counting.calls.count("llama_adapter_lora_init") == 2
    counting.calls.clear()
    backend.set_adapters([AdapterUse("two", 0.5), AdapterUse("one")])
    assert counting.calls == []
    backend.set_adapters([AdapterUse("two", 0.25)])
    assert counting.calls.count("llama_adapter_lora_init") == 0


def lying(
    tmp_path: Path, tensors: list[tuple[str, str, tuple[int, ...]]], alpha: tuple[Any, str] = (8.0, "f32")
) -> Path:
    entries = [("general.architecture", "llama", "str"), ("general.type", "adapter", "str"),
               ("adapter.type", "lora", "str"), ("adapter.lora.alpha", *alpha)]  # fmt: skip
    layout = make_layout([encode_entry(entry) for entry in entries], tensors)
    path = tmp_path / "lying.gguf"
    path.write_bytes(layout.header + bytes(layout.total_bytes - len(layout.header)))
    return path


@pytest.mark.parametrize(
    ("tensors", "alpha"),
    [
        # llama.cpp takes each of these and ends the process, at the latest when it computes with it
        ([(Q[0], "F32", (256, 4, 2)), (Q[1], "F32", (4, 256, 2))], (8.0, "f32")),
        ([(Q[0], "I32", (256, 4)), (Q[1], "I32", (4, 256))], (8.0, "f32")),
        ([(Q[0], "F32", (256, 4)), (Q[1], "F32", (4, 256))], (8, "u32")),
        ([("token_embd.weight.lora_a", "F32", (4, 8192)), ("token_embd.weight.lora_b", "F32", (4, 256))], (8.0, "f32")),
        ([(Q[0], "F32", (256, 4)), (Q[1], "F32", (3, 256))], (8.0, "f32")),
        (
            [(Q[0].replace(".0.", ".99."), "F32", (256, 4)), (Q[1].replace(".0.", ".99."), "F32", (4, 256))],
            (8.0, "f32"),
        ),
    ],
)
def test_a_file_that_lies_is_refused_before_the_library_sees_it(
    folder: Path, tmp_path: Path, tensors: list[tuple[str, str, tuple[int, ...]]], alpha: tuple[Any, str]
) -> None:
    with pytest.raises(EdgeLLMError) as caught:
        LlamaBackend(folder / "base.gguf", EXACT, adapters={"x": lying(tmp_path, tensors, alpha)})
    assert caught.value.hint


def test_a_file_that_is_torn_gone_or_no_adapter_is_an_error(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "one.gguf").read_bytes()
    path = tmp_path / "torn.gguf"
    for size in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError):
            LlamaBackend(folder / "base.gguf", EXACT, adapters={"x": path})
    with pytest.raises(ModelFileError, match="not an adapter"):
        LlamaBackend(folder / "base.gguf", EXACT, adapters={"x": folder / "base.gguf"})
    with pytest.raises(NotFoundError):
        LlamaBackend(folder / "base.gguf", EXACT, adapters={"x": tmp_path / "none.gguf"})


def test_a_file_that_was_torn_since_is_an_error_when_it_is_first_used(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    shutil.copy(folder / "one.gguf", path)
    loaded = LlamaBackend(folder / "base.gguf", EXACT, adapters={"x": path})
    try:
        base = logits(loaded)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ModelFileError, match="cut off"):
            loaded.set_adapters([AdapterUse("x")])
        assert distance(logits(loaded), base) == 0
    finally:
        loaded.close()


def test_loading_knows_the_adapters_and_counts_their_memory(folder: Path, tmp_path: Path) -> None:
    backend, info = load_backend(
        LoadRequest(model_path=folder / "base.gguf", context=64, threads=1, adapters={"one": folder / "one.gguf"})
    )
    backend.close()
    assert info.adapters == ("one",)
    large = tmp_path / "large.gguf"
    shutil.copy(folder / "one.gguf", large)
    os.truncate(large, 1 << 40)
    with pytest.raises(DoesNotFitError, match="TiB"):
        load_backend(LoadRequest(model_path=folder / "base.gguf", context=64, threads=1, adapters={"one": large}))


def test_the_smoke_test_tries_every_adapter(folder: Path, tmp_path: Path) -> None:
    assert run_smoke(folder / "base.gguf", tokens=2, adapters={"one": folder / "one.gguf"}).generated_tokens == 2
    data = bytearray((folder / "one.gguf").read_bytes())
    tensor = next(tensor for tensor in read_header(folder / "one.gguf").tensors if tensor.name == Q[1])
    data[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes] = np.full(
        tensor.size_bytes // 4, np.nan, np.float32
    ).tobytes()
    path = tmp_path / "nan=x.gguf"
    path.write_bytes(data)
    with pytest.raises(BackendError, match="adapter bad"):
        run_smoke(folder / "base.gguf", tokens=2, adapters={"bad": path})
