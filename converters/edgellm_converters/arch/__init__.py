"""Model families: one small file per Hugging Face ``model_type``. Adding a family is adding a file and its row here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgellm.errors import UnsupportedError
from edgellm_converters.arch.family import Family
from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.arch.plan import TensorPlan

__all__ = ["MODEL_TYPES", "Family", "Hyper", "TensorPlan", "get_family"]

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "smollm3")


def get_family(config: dict[str, Any]) -> Family:
    """The family of a checkpoint's config.json. Raises UnsupportedError, naming the supported ones."""
    model_type = config.get("model_type")
    architectures = config.get("architectures")
    if not isinstance(model_type, str) or model_type not in MODEL_TYPES:
        shown = architectures[0] if isinstance(architectures, list) and architectures else model_type
        raise UnsupportedError(
            f"the architecture {str(shown)[:80]!r} is not supported",
            hint=f"supported model types: {', '.join(MODEL_TYPES)}; a GGUF file of any architecture is packed as it is",
        )
    family: Family = import_module(f"edgellm_converters.arch.{model_type}").FAMILY
    if architectures is not None:
        family.check_architecture(architectures)
    return family
