"""Model families: one small file per Hugging Face ``model_type``. Adding a family is adding a file and its row here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgellm.errors import UnsupportedError
from edgellm_converters.arch.encoder import EncoderFamily, EncoderHyper
from edgellm_converters.arch.family import Family, HasTensors
from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.arch.plan import TensorPlan

__all__ = [
    "ENCODER_TYPES",
    "MODEL_TYPES",
    "EncoderFamily",
    "EncoderHyper",
    "Family",
    "Hyper",
    "TensorPlan",
    "get_decoder",
    "get_encoder",
    "get_family",
    "is_encoder",
    "read_model",
]

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "smollm3")
"""Families that generate text."""

ENCODER_TYPES = ("bert",)
"""Families that turn texts into vectors."""


def get_family(config: dict[str, Any]) -> Family | EncoderFamily:
    """The family of a checkpoint's config.json. Raises UnsupportedError, naming the supported ones."""
    model_type = config.get("model_type")
    architectures = config.get("architectures")
    if not isinstance(model_type, str) or model_type not in (*MODEL_TYPES, *ENCODER_TYPES):
        shown = architectures[0] if isinstance(architectures, list) and architectures else model_type
        raise UnsupportedError(
            f"the architecture {str(shown)[:80]!r} is not supported",
            hint=f"supported model types: {', '.join((*MODEL_TYPES, *ENCODER_TYPES))}; a GGUF file of any architecture "
            "is packed as it is",
        )
    family: Family | EncoderFamily = import_module(f"edgellm_converters.arch.{model_type}").FAMILY
    if architectures is not None:
        family.check_architecture(architectures)
    return family


def read_model(checkpoint: HasTensors) -> tuple[Hyper | EncoderHyper, list[TensorPlan]]:
    """The hyper-parameters of a checkpoint, and the tensors of its GGUF. Raises CheckpointError, UnsupportedError."""
    family = get_family(checkpoint.config)
    if isinstance(family, EncoderFamily):
        encoder = family.parse(checkpoint.config)
        return encoder, family.tensors(encoder, checkpoint)
    decoder = family.parse(checkpoint.config)
    return decoder, family.tensors(decoder, checkpoint)


def is_encoder(config: dict[str, Any]) -> bool:
    """True for a family that turns texts into vectors."""
    return config.get("model_type") in ENCODER_TYPES


def get_decoder(config: dict[str, Any]) -> Family:
    """The family of a model that generates text. Raises UnsupportedError."""
    family = get_family(config)
    if not isinstance(family, Family):
        raise UnsupportedError(f"{family.model_type} models are encoders: they generate no text")
    return family


def get_encoder(config: dict[str, Any]) -> EncoderFamily:
    """The family of a model that turns texts into vectors. Raises UnsupportedError."""
    family = get_family(config)
    if not isinstance(family, EncoderFamily):
        raise UnsupportedError(f"{family.model_type} models are no encoders")
    return family
