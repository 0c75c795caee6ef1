"""A GGUF that holds a vocabulary and no tensors: enough for llama.cpp to tokenize."""

from __future__ import annotations

from pathlib import Path

from edgellm.files import os_errors
from edgellm_converters.tokenizer.vocabulary import MetadataEntry, Vocabulary

__all__ = ["write_vocab_gguf"]


def write_vocab_gguf(path: Path, vocabulary: Vocabulary, architecture: str = "llama") -> None:
    """Write the metadata of ``vocabulary`` to ``path``. Raises NoSpaceError or AccessError."""
    # Here and not above: the GGUF writer imports this package.
    from edgellm_converters.gguf.encode import encode_entry, make_layout

    entries: list[MetadataEntry] = [("general.architecture", architecture, "str"), *vocabulary.metadata]
    with os_errors(f"write {path}"):
        path.write_bytes(make_layout([encode_entry(entry) for entry in entries], ()).header)
