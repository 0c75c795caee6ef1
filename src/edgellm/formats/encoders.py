"""What a GGUF header says about a model that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

__all__ = ["POOLING_IDS", "RANKING", "Pooling", "has_dense_layers", "is_encoder", "keeps_cache", "pooling_of"]

Pooling = Literal["mean", "cls", "last"]
"""How the hidden states of the tokens of a text become one vector."""

POOLING_IDS: Final[Mapping[Pooling, int]] = {"mean": 1, "cls": 2, "last": 3}
"""``<architecture>.pooling_type``: enum llama_pooling_type."""

RANKING: Final = 4
"""The pooling type of models that score a pair of texts, which are no use for vectors."""

# Architectures that llama.cpp computes without a KV cache (llama_model::create_memory).
_WITHOUT_CACHE: Final = frozenset(
    (
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    )
)


def is_encoder(architecture: str, metadata: Mapping[str, object]) -> bool:
    """True where the attention of a model looks ahead: it takes whole texts and generates none."""
    return architecture in _WITHOUT_CACHE or metadata.get(f"{architecture}.attention.causal") is False


def has_dense_layers(tensors: Iterable[str]) -> bool:
    """True where further layers make the vector of what is pooled (``tensors``: names in a GGUF)."""
    return any(name.startswith("dense_") for name in tensors)


def keeps_cache(architecture: str) -> bool:
    """True where llama.cpp keeps keys and values of a text, which an encoder has no use for."""
    return architecture not in _WITHOUT_CACHE


def pooling_of(architecture: str, metadata: Mapping[str, object]) -> Pooling | None:
    """How a model was trained to make one vector of a text; None where its file does not say."""
    stated = metadata.get(f"{architecture}.pooling_type")
    return next((name for name, number in POOLING_IDS.items() if number == stated), None)
