"""Every recipe against llama-quantize: the same types, and the same bytes of tensor data."""

from __future__ import annotations

import mmap
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from convert_cases import make_checkpoint, pack
from oracle_tools import llama_tool

from edgellm.formats.gguf import read_header
from edgellm_converters.recipes import RECIPES

pytestmark = pytest.mark.oracle

Packed = Callable[[str], tuple[Path, Path]]
"""Model name -> (checkpoint folder, GGUF with the checkpoint's own precision)."""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path, request: pytest.FixtureRequest) -> Packed:
    """Checkpoints with the unquantized GGUF that llama-quantize starts from, each made once."""
    made: dict[str, tuple[Path, Path]] = {}

    def get(model: str) -> tuple[Path, Path]:
        if model not in made:
            root = tmp_path_factory.mktemp(model)
            if model == "tiny-llm":
                folder, recipe = tiny_llm, "BF16"
            elif model == "stories260k":
                folder, recipe = request.getfixturevalue("shared_dir") / "models" / model, "F32"
            elif model == "llama3.2-1b":
                folder, recipe = root / model, "BF16"
                shape = Path(__file__).parent.parent / "benchmarks" / "shapes.py"
                subprocess.run([sys.executable, str(shape), model, str(folder)], check=True, capture_output=True)
            else:
                folder, recipe = root / model, "BF16"
                make_checkpoint(model, folder, dtype="bfloat16")
            pack(folder, recipe, root / "source.gguf")
            made[model] = (folder, root / "source.gguf")
        return made[model]

    return get


def compare(packed: Packed, model: str, recipe: str, tmp_path: Path) -> None:
    folder, source = packed(model)
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    pack(folder, recipe, ours)
    done = subprocess.run(
        [str(llama_tool("llama-quantize")), str(source), str(theirs), recipe, "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    left, right = read_header(ours), read_header(theirs)
    table = [(tensor.name, tensor.type, tensor.shape) for tensor in left.tensors]
    assert table == [(tensor.name, tensor.type, tensor.shape) for tensor in right.tensors]
    assert left.metadata == right.metadata
    with ours.open("rb") as a, theirs.open("rb") as b:
        mine = mmap.mmap(a.fileno(), 0, access=mmap.ACCESS_READ)
        yours = mmap.mmap(b.fileno(), 0, access=mmap.ACCESS_READ)
        assert len(mine) - left.data_offset_bytes == len(yours) - right.data_offset_bytes
        for one, other in zip(left.tensors, right.tensors, strict=True):
            same = (
                mine[one.offset_bytes : one.offset_bytes + one.size_bytes]
                == yours[other.offset_bytes : other.offset_bytes + other.size_bytes]
            )
            assert same, f"{one.name} ({one.type}) differs"
        mine.close()
        yours.close()
    ours.unlink()
    theirs.unlink()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", ["tiny-llm", "stories260k", "smollm3", "qwen3", "llama-llama3"])
def test_bytes_equal_llama_quantize(packed: Packed, model: str, recipe: str, tmp_path: Path) -> None:
    compare(packed, model, recipe, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_bytes_equal_llama_quantize_at_full_size(packed: Packed, recipe: str, tmp_path: Path) -> None:
    compare(packed, "llama3.2-1b", recipe, tmp_path)
