"""Fixtures for comparisons with software that is not ours; see oracle_tools for what happens where it is missing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import oracle_tools
import pytest


@pytest.fixture(scope="session")
def llama_source() -> Path:
    """llama.cpp's source tree."""
    return oracle_tools.llama_source()


@pytest.fixture(scope="session")
def llama_quantize() -> Callable[[Path, Path, str], None]:
    """llama_quantize(source.gguf, target.gguf, "Q4_K_M") runs llama.cpp's program with two threads."""
    program = oracle_tools.llama_tool("llama-quantize")

    def quantize(source: Path, target: Path, recipe: str) -> None:
        command = [str(program), str(source), str(target), recipe, "2"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, f"llama-quantize failed:\n{done.stderr[-3000:]}"

    return quantize


@pytest.fixture(scope="session")
def convert() -> Callable[[Path, Path, str, str], None]:
    """convert(checkpoint, out.gguf, "bf16", "model name") runs llama.cpp's convert_hf_to_gguf.py."""
    oracle_tools.llama_source()
    return oracle_tools.run_convert
