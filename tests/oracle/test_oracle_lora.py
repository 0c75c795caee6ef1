"""Our GGUF adapter against convert_lora_to_gguf.py: the same metadata and the same tensors, to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oracle_tools import llama_source

from checkpoint_maker import CONFIG, make
from edgellm.formats.gguf import read_header
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata
from edgellm_converters.lora import base_of_checkpoint, fit_peft, open_peft
from peft_parts import ALL_LINEAR, FAMILIES, make_adapter

pytestmark = pytest.mark.oracle

CARD = """---
license: apache-2.0
base_model: example/Tiny-40M-Instruct
library_name: peft
tags: [lora, sql]
language: en
---
# An adapter
"""
TABLES = ("embed_tokens", "lm_head")
CASES: dict[str, dict[str, Any]] = {
    **{family: {"family": family, "targets": (*ALL_LINEAR, *TABLES)} for family in FAMILIES},
    "bf16": {"family": "llama", "targets": ALL_LINEAR, "dtype": "BF16"},
    "f16": {"family": "qwen2", "targets": ("q_proj", "v_proj"), "dtype": "F16"},
    "ranks": {"family": "llama", "targets": ALL_LINEAR, "ranks": {"k_proj": 3}, "rank_pattern": {"k_proj": 3}},
    "alpha": {"family": "llama", "targets": ALL_LINEAR, "lora_alpha": 12.5},
    "card": {"family": "llama", "targets": ("q_proj",), "card": CARD},
}


def reference(adapter: Path, base: Path, out: Path) -> None:
    """Convert with llama.cpp's own script."""
    command = [sys.executable, str(llama_source() / "convert_lora_to_gguf.py"), "--base", str(base)]
    command += ["--outfile", str(out), "--outtype", "f32", str(adapter)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"convert_lora_to_gguf.py failed:\n{done.stderr[-3000:]}"


def ours(adapter: Path, base: Path, out: Path) -> None:
    opened = open_peft(adapter)
    with open_checkpoint(base) as checkpoint, out.open("wb") as sink:
        fitted = fit_peft(opened, base_of_checkpoint(checkpoint), GeneralMetadata())
        fitted.write(sink, threads=2, progress=SilentProgress(), cancel=CancelToken())
    opened.close()


def contents(path: Path) -> tuple[dict[str, tuple[str, object]], dict[str, tuple[str, tuple[int, ...], bytes]]]:
    header, data = read_header(path), path.read_bytes()
    tensors = {
        tensor.name: (tensor.type, tensor.shape, data[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes])
        for tensor in header.tensors
    }
    return {key: (header.types[key], value) for key, value in header.metadata.items()}, tensors


@pytest.mark.parametrize("case", CASES)
def test_metadata_and_tensors_equal_the_reference(tmp_path: Path, case: str) -> None:
    options = dict(CASES[case])
    family, card = options.pop("family"), options.pop("card", "")
    config = CONFIG | {
        "model_type": family,
        "architectures": [FAMILIES[family]],
        "head_dim": 16,
        "num_hidden_layers": 4,
        "tie_word_embeddings": False,
    }
    weights = make(tmp_path / "base", config)
    adapter = tmp_path / "tiny-sql-lora"
    make_adapter(adapter, weights, **options)
    if card:
        (adapter / "README.md").write_text(card)
    reference(adapter, tmp_path / "base", tmp_path / "theirs.gguf")
    ours(adapter, tmp_path / "base", tmp_path / "ours.gguf")
    our_keys, our_tensors = contents(tmp_path / "ours.gguf")
    their_keys, their_tensors = contents(tmp_path / "theirs.gguf")
    assert our_keys == their_keys
    assert our_tensors == their_tensors
