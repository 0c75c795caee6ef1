"""An ONNX model whose KV cache is int8: where the profile asks for a quantized cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backends import write_onnx_folder
from cli_process import Cli
from edgellm.devices.load import load_profile, profiles_folder
from edgellm.progress import CancelToken
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.onnx.kv_range import measure_kv_ranges, ranges_of
from edgellm_runtimes.onnx.model import OnnxBackend
from onnx_models import log_softmax

TOKENS = [5 + 7919 * number % 900 for number in range(96)]


def settings(kv_type: str) -> BackendSettings:
    return BackendSettings(
        context=256, sequences=3, batch=128, ubatch=128, outputs=128, kv_type_k=kv_type, kv_type_v=kv_type,
        shared_cells=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ranges(tiny_onnx: Path) -> tuple[tuple[float, ...], ...]:
    files = {path.name: path for path in tiny_onnx.parent.iterdir()}
    return measure_kv_ranges(tiny_onnx, files, TOKENS, CancelToken())


@pytest.fixture(scope="module")
def int8_model(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory, ranges: tuple[tuple[float, ...], ...]) -> Path:
    """tiny-llm in float32, but for its cache."""
    return write_onnx_folder(tiny_llm, tmp_path_factory.mktemp("int8"), kv_ranges=ranges)


def rows_of(path: Path, kv_type: str) -> np.ndarray:
    """Log-probabilities after each token: of a prompt in two parts, then token by token."""
    backend = OnnxBackend(path, settings(kv_type))
    try:
        found = [backend.decode([TokenSlice(0, part, len(part))]).copy() for part in (TOKENS[:40], TOKENS[40:80])]
        found += [backend.decode([TokenSlice(0, [token], 1)]).copy() for token in TOKENS[80:]]
        return log_softmax(np.concatenate(found))
    finally:
        backend.close()


def test_the_ranges_hold_for_the_same_tokens_at_other_positions(
    tiny_onnx: Path, ranges: tuple[tuple[float, ...], ...]
) -> None:
    backend = OnnxBackend(tiny_onnx, settings("f32"))
    try:
        backend.decode([TokenSlice(0, TOKENS, 0)])
        for number, (here, child) in enumerate(zip(ranges_of(backend.cache, 0), ranges, strict=True)):
            assert np.allclose(here, child, rtol=1e-3), number
        backend.drop_sequence(0)
        backend.decode([TokenSlice(0, [7] * 64, 0)])
        backend.decode([TokenSlice(0, TOKENS, 0)])
        # keys of the first layer depend on the token and its position alone, values on the token
        for array, allowed in zip(backend.cache.arrays[:2], ranges, strict=False):
            found = np.abs(array[0, :, 64:160]).max(axis=1).reshape(-1)
            assert (found <= 1.001 * np.array(allowed)).all()
    finally:
        backend.close()


def test_predictions_stay_close_to_those_with_a_float32_cache(tiny_onnx: Path, int8_model: Path) -> None:
    exact, rounded = rows_of(tiny_onnx, "f32"), rows_of(int8_model, "int8")
    divergence = (np.exp(exact) * (exact - rounded)).sum(axis=-1)
    assert 0 < divergence.mean() < 0.002
    assert (exact.argmax(axis=-1) == rounded.argmax(axis=-1)).mean() > 0.95


def test_sequences_are_batched_copied_cut_and_saved_as_with_float32(int8_model: Path, tmp_path: Path) -> None:
    backend = OnnxBackend(int8_model, settings("int8"))
    try:
        alone = backend.decode([TokenSlice(0, TOKENS[:50], 1)]).copy()
        assert backend.copy_sequence(0, 1, 49)
        both = backend.decode([TokenSlice(1, [TOKENS[49]], 1), TokenSlice(2, TOKENS[:50], 1)]).copy()
        assert np.allclose(both[1], alone[0], atol=1e-4)
        assert np.allclose(both[0], alone[0], atol=0.05), "one token later its own part of the cache is rounded"
        assert backend.save_sequence(0, tmp_path / "state", 50)
        assert (tmp_path / "state").stat().st_size < 50 * 2 * 8 * 4 * 32 + 100, "a byte for each number"
        backend.restore_sequence(1, tmp_path / "state", 50)
        steps = backend.decode([TokenSlice(0, [TOKENS[50]], 1), TokenSlice(1, [TOKENS[50]], 1)])
        assert np.array_equal(steps[0], steps[1])
    finally:
        backend.close()


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A Raspberry Pi 5 whose profile wants a quantized cache."""
    text = (profiles_folder() / "raspberrypi5.toml").read_text()
    path = tmp_path / "asking.toml"
    path.write_text(text.replace("[policy]\n", '[policy]\nkv_type_k = "q8_0"\nkv_type_v = "q8_0"\n'))
    assert load_profile(str(path)).profile.policy.kv_type_k == "q8_0"
    return path


def test_pack_follows_a_profile_that_asks_for_a_quantized_cache(cli: Cli, tiny_llm: Path, profile: Path) -> None:
    words = (tiny_llm, "--format", "onnx", "--context", "256")
    [asked] = cli.json("pack", *words, "--device", profile, "--name", "asked")
    [plain] = cli.json("pack", *words, "--device", "raspberrypi5", "--name", "plain")
    assert (asked["plan"]["kv_type_k"], asked["plan"]["kv_type_v"]) == ("int8", "int8")
    assert "The KV cache is int8, as the profile asks" in asked["plan"]["why"]
    memory = [bundle["plan"]["predicted_memory"]["kv_bytes"] for bundle in (asked, plain)]
    assert memory[1] == 4 * memory[0]
    files = [{file["path"]: file["digest"] for file in cli.json("show", name)["files"]} for name in ("asked", "plain")]
    assert files[0]["model.onnx.data"] == files[1]["model.onnx.data"], "only the graph differs"
    words = ("--raw", "Once upon a time", "-n", "12", "--temperature", "0", "--json")
    answers = [json.loads(cli.run("run", name, *words).stdout) for name in ("asked", "plain")]
    assert answers[0]["model"]["kv_type_k"] == "int8"
    assert answers[0]["timings"]["generated_tokens"] == 12
    [again] = cli.json("pack", tiny_llm, "--format", "onnx", "--context", "256", "-d", profile, "--name", "again")
    assert again["digest"] == asked["digest"]
