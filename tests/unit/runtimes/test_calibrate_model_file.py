"""The small models of a calibration are what they claim to be, and leave nothing behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.work import decoded_tensors
from edgellm.errors import NoSpaceError
from edgellm.formats.gguf import read_header
from edgellm_converters.recipes import RECIPES
from edgellm_runtimes.calibrate import WEIGHT_TYPES, synthetic
from edgellm_runtimes.calibrate.synthetic import N_TOKENS, Shape, model_file
from tmpfs import tmpfs

SHAPE = Shape(n_embd=512, n_ff=768, n_layers=2)


@pytest.fixture(scope="module")
def lib() -> Any:
    """llama.cpp's library."""
    from edgellm_runtimes.llama_cpp.library import library

    return library()._lib


def open_files() -> list[str]:
    """What the descriptors of this process lead to."""
    found = []
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - one of them is the listing itself
        path = Path("/proc/self/fd", entry)
        if path.is_symlink():
            found.append(str(path.readlink()))
    return found


@pytest.mark.parametrize("type_name", WEIGHT_TYPES)
def test_every_matrix_has_the_type_and_the_shape_asked_for(lib: Any, type_name: str) -> None:
    with model_file(lib, SHAPE, type_name) as path:
        header = read_header(path)
        tensors = {tensor.name: tensor for tensor in shape_from_gguf(header).tensors}
        values = {
            tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(path).tensors
        }
    assert header.metadata["general.architecture"] == "llama"
    expected = {"token_embd.weight": (512, N_TOKENS)}
    for layer in range(SHAPE.n_layers):
        expected |= {f"blk.{layer}.{name}.weight": (n, rows) for name, (rows, n) in SHAPE.matrices.items()}
    matrices = {name: tensor.shape for name, tensor in tensors.items() if len(tensor.shape) == 2}
    assert matrices == expected
    assert {tensors[name].type for name in matrices} == {type_name}
    assert {tensor.type for name, tensor in tensors.items() if name not in matrices} == {"F32"}
    for name in matrices:
        assert np.std(values[name]) == pytest.approx(0.02, rel=0.05), "small random weights"


def test_what_recipes_are_made_of_is_measured() -> None:
    types = {recipe.default_type for recipe in RECIPES.values()}
    assert types - set(WEIGHT_TYPES) == {"F32", "BF16"}, "too slow on a small board: F16 stands for them"


def test_weights_and_values_are_counted_as_the_predictions_count_them(lib: Any) -> None:
    with model_file(lib, SHAPE, "Q8_0") as path:
        shape = shape_from_gguf(read_header(path))
    matrices = [tensor.shape for tensor in decoded_tensors(shape) if len(tensor.shape) == 2]
    assert sum(length * rows for length, rows in matrices) == SHAPE.n_weights
    assert sum(length + rows for length, rows in matrices) == SHAPE.n_values + SHAPE.n_embd + N_TOKENS
    assert (shape.n_heads, shape.layers[0].n_kv_heads, len(shape.layers)) == (SHAPE.n_heads, SHAPE.n_kv_heads, 2)


def test_it_lies_in_memory_and_is_gone_afterwards(lib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = open_files()
    with model_file(lib, SHAPE, "Q4_0"):
        assert any("edgellm-calibration" in name for name in open_files())
        assert list(tmp_path.iterdir()) == []
    assert sorted(open_files()) == sorted(before)


def no_memory_files(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """From now on this is a system without memfd_create, or one that forbids it."""

    def forbidden(name: str) -> int:
        raise PermissionError(name)

    if kind == "absent":
        monkeypatch.delattr(os, "memfd_create")
    else:
        monkeypatch.setattr(os, "memfd_create", forbidden)


@pytest.mark.parametrize("kind", ["absent", "forbidden"])
def test_without_files_in_memory_it_has_no_name_in_the_temporary_folder(
    lib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    no_memory_files(monkeypatch, kind)
    before = open_files()
    with model_file(lib, SHAPE, "Q4_0") as path:
        assert any(name.startswith(str(tmp_path)) for name in open_files())
        assert list(tmp_path.iterdir()) == [], "a process that is killed leaves nothing"
        assert len(shape_from_gguf(read_header(path)).layers) == SHAPE.n_layers
    assert sorted(open_files()) == sorted(before)


def test_where_descriptors_have_no_paths_it_lies_in_a_folder_of_its_own(
    lib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(synthetic, "_nameless_file", lambda *_: -1)
    with model_file(lib, SHAPE, "Q4_0") as path:
        assert path.is_relative_to(tmp_path)
        assert len(shape_from_gguf(read_header(path)).layers) == SHAPE.n_layers
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_folder_is_said(lib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tmpfs(tmp_path / "small", "size=1m") as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        no_memory_files(monkeypatch, "absent")
        with pytest.raises(NoSpaceError, match="a small model needs"), model_file(lib, SHAPE, "F16"):
            pass
        assert list(folder.iterdir()) == []
