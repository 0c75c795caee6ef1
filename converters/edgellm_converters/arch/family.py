"""A model family: from config.json to hyper-parameters, GGUF metadata and the list of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import DecoderParts, decoder_tensors
from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.arch.metadata import MetadataEntry, decoder_metadata
from edgellm_converters.arch.plan import HasShape, TensorPlan, match_tensors

__all__ = ["Family", "HasTensors"]


class HasTensors(Protocol):
    """What a family needs of a checkpoint."""

    @property
    def tensors(self) -> Mapping[str, HasShape]:
        """Tensors by name."""

    @property
    def config(self) -> dict[str, Any]:
        """config.json."""


@dataclass(frozen=True)
class Family:
    """One Hugging Face ``model_type``.

    ``parse_config`` reads and checks config.json; ``parts`` says which tensors the family adds to the common ones.
    ``llama_keys``: llama.cpp's converter also writes the vocabulary size and the rotary dimension for this family.
    """

    model_type: str
    hf_architecture: str
    parse_config: Callable[[Config], Hyper]
    parts: Callable[[Config], DecoderParts]
    llama_keys: bool = False

    def check_architecture(self, architectures: object) -> None:
        """Raise UnsupportedError when config.json names another head than a causal language model's."""
        if not isinstance(architectures, list) or not architectures:
            return
        if architectures[0] != self.hf_architecture:
            raise UnsupportedError(
                f"the architecture {str(architectures[0])[:80]!r} is not supported",
                hint=f"of the model type {self.model_type}, {self.hf_architecture} is",
            )

    def parse(self, config: dict[str, Any]) -> Hyper:
        """The hyper-parameters. Raises CheckpointError or UnsupportedError."""
        return self.parse_config(Config(config))

    def tensors(self, hyper: Hyper, checkpoint: HasTensors) -> list[TensorPlan]:
        """The tensors of the GGUF in llama.cpp's order, checked against the checkpoint. Raises CheckpointError."""
        if checkpoint.tensors and not any(name.startswith("model.layers.") for name in checkpoint.tensors):
            first = next(iter(checkpoint.tensors))
            raise CheckpointError(
                f"the tensors are not named as those of {self.hf_architecture} (the first is {first[:80]!r})",
                hint="save it with transformers as a causal language model; adapters must be merged first",
            )
        has_head = not hyper.tied or "lm_head.weight" in checkpoint.tensors
        plans = decoder_tensors(hyper, self.parts(Config(checkpoint.config)), has_head=has_head)
        return match_tensors(plans, checkpoint.tensors)

    def gguf_metadata(self, hyper: Hyper) -> list[MetadataEntry]:
        """The keys of the architecture: (key, value, GGUF type)."""
        return decoder_metadata(hyper, llama_keys=self.llama_keys)
