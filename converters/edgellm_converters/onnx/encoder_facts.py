"""What the graph of an encoder says about itself, in its metadata: an encoder has no genai_config.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgellm.formats.encoders import Pooling
    from edgellm_converters.arch.encoder import EncoderHyper

__all__ = ["ENCODER_FACTS", "encoder_facts"]

ENCODER_FACTS = "edgellm.encoder"


def encoder_facts(hyper: EncoderHyper, pooling: Pooling, *, normalised: bool) -> str:
    """JSON, always the same for the same model."""
    facts = {
        "architecture": hyper.architecture,
        "n_vocab": hyper.n_vocab,
        "n_embd": hyper.n_embd,
        "n_heads": hyper.n_heads,
        "n_layers": hyper.n_layers,
        "n_positions": hyper.n_positions,
        "pooling": pooling,
        "normalised": normalised,
    }
    return json.dumps(facts, sort_keys=True)
