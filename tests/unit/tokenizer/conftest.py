"""Fixtures of the tokenizer tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizer_builds import Write, pre_tokenizer_section, trained_byte_level


@pytest.fixture(scope="session")
def trained() -> dict[str, Any]:
    """tokenizer.json with the pre-tokenizer of GPT-2. Copy it before changing it."""
    return trained_byte_level(pre_tokenizer_section((("bytelevel",),)), vocab_size=1000)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(tokenizer_json, config=..., other="content")`` -> folder with these tokenizer files."""

    def to_folder(tokenizer: Any = None, config: Any = None, **others: Any) -> Path:
        files = {"tokenizer.json": tokenizer, "tokenizer_config.json": config or {"eos_token": "<|im_end|>"}}
        files |= {name.replace("__", "."): content for name, content in others.items()}
        for name, content in files.items():
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return to_folder
