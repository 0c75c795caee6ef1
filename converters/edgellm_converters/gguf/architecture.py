"""The keys of a GGUF that its architecture asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgellm.formats.encoders import POOLING_IDS
from edgellm_converters.arch import EncoderHyper, get_decoder, get_encoder

if TYPE_CHECKING:
    from edgellm_converters.arch import Hyper
    from edgellm_converters.arch.metadata import MetadataEntry
    from edgellm_converters.checkpoint import Checkpoint

__all__ = ["gguf_metadata"]


def gguf_metadata(checkpoint: Checkpoint, hyper: Hyper | EncoderHyper) -> list[MetadataEntry]:
    """(key, value, GGUF type) of the model in ``checkpoint``; of an encoder with how it was trained to pool."""
    if not isinstance(hyper, EncoderHyper):
        return get_decoder(checkpoint.config).gguf_metadata(hyper)
    entries = get_encoder(checkpoint.config).gguf_metadata(hyper)
    pooling = checkpoint.sentence.pooling
    if pooling is not None:
        entries.append((f"{hyper.architecture}.pooling_type", POOLING_IDS[pooling], "u32"))
    return entries
