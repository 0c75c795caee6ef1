"""A split GGUF, packed, against `llama-gguf-split --merge`: the same bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from oracle_tools import llama_tool

from edgellm.progress import CancelToken, SilentProgress
from edgellm.sources.local import open_source
from edgellm_converters.pack.open_input import open_input

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("tensors_each", [20, 7])
def test_a_packed_split_model_has_the_bytes_of_the_merged_one(
    tensors_each: int, tiny_gguf: Path, tmp_path: Path
) -> None:
    tool = str(llama_tool("llama-gguf-split"))
    options = ["--split", "--split-max-tensors", str(tensors_each), str(tiny_gguf), str(tmp_path / "part")]
    subprocess.run([tool, *options], check=True, capture_output=True)
    first = sorted(tmp_path.glob("part-00001-of-*.gguf"))[0]
    subprocess.run([tool, "--merge", str(first), str(tmp_path / "merged.gguf")], check=True, capture_output=True)
    ours = tmp_path / "ours.gguf"
    with open_input(open_source(str(first))) as model, ours.open("wb") as sink:
        own = model.recipes()[0] if "F16" not in model.recipes() else "F16"
        model.write({own: sink}, threads=2, progress=SilentProgress(), cancel=CancelToken())
        assert ours.stat().st_size <= model.file_bytes(own)
    assert ours.read_bytes() == (tmp_path / "merged.gguf").read_bytes()
