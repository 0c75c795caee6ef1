"""A GGUF that holds a vocabulary and no tensors: enough for llama.cpp to tokenize."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from edgellm.files import os_errors
from edgellm_converters.tokenizer.vocabulary import MetadataEntry, MetadataValue, Vocabulary

__all__ = ["write_vocab_gguf"]

_VERSION = 3
_ALIGNMENT_BYTES = 32
_TYPE_IDS = {"u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "arr": 9}
_FORMATS = {"u32": "I", "i32": "i", "f32": "f", "bool": "?"}


def write_vocab_gguf(path: Path, vocabulary: Vocabulary, architecture: str = "llama") -> None:
    """Write the metadata of ``vocabulary`` to ``path``. Raises NoSpaceError or AccessError."""
    entries: list[MetadataEntry] = [("general.architecture", architecture, "str"), *vocabulary.metadata]
    parts = [struct.pack("<4sIQQ", b"GGUF", _VERSION, 0, len(entries))]
    for key, value, kind in entries:
        parts += [_text(key), struct.pack("<I", _TYPE_IDS[kind.partition("[")[0]]), _value(value, kind)]
    size_bytes = sum(map(len, parts))
    parts.append(bytes(-size_bytes % _ALIGNMENT_BYTES))
    with os_errors(f"write {path}"):
        path.write_bytes(b"".join(parts))


def _value(value: MetadataValue, kind: str) -> bytes:
    if not kind.startswith("arr["):
        return _text(str(value)) if kind == "str" else struct.pack(f"<{_FORMATS[kind]}", value)
    entries: Any = value
    inner = kind[4:-1]
    head = struct.pack("<IQ", _TYPE_IDS[inner], len(entries))
    if inner == "str":
        return head + b"".join(map(_text, entries))
    return head + struct.pack(f"<{len(entries)}{_FORMATS[inner]}", *entries)


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data
