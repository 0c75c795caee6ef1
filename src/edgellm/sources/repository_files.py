"""Which files of a model's folder or repository matter: a checkpoint's own, and the papers that travel with a model."""

from __future__ import annotations

import re

__all__ = [
    "CHECKPOINT_FILES",
    "DOCUMENT_LIMIT_BYTES",
    "INDEX_NAME",
    "SHARD",
    "SINGLE_NAME",
    "is_document",
]

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
CHECKPOINT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    INDEX_NAME,
)
"""What a bundle is made from, besides the weights."""

DOCUMENT_LIMIT_BYTES = 4 * 2**20
_DOCUMENT = re.compile(r"(LICEN[CS]E|NOTICE|USE[_-]?POLICY|README|COPYING)([._-][\w.-]*)?", re.IGNORECASE)


def is_document(name: str, size_bytes: int) -> bool:
    """True for a licence, notice, use policy or model card that is neither empty nor larger than 4 MiB."""
    return _DOCUMENT.fullmatch(name) is not None and 0 < size_bytes <= DOCUMENT_LIMIT_BYTES
