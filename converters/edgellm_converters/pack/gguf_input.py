"""A GGUF, in one file or in parts, as the source of a pack: as it is, or requantized when its weights are floats."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from edgellm.bundle.plan import PlannedEncoder, SamplingDefaults
from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.model import ModelShape
from edgellm.errors import CheckpointError, ModelFileError, UnsupportedError
from edgellm.files import os_errors
from edgellm.formats.encoders import RANKING, has_dense_layers, is_encoder, pooling_of
from edgellm.formats.gguf_split import read_model
from edgellm.progress import CancelToken, Progress
from edgellm.sources.local import LocalSource
from edgellm.sources.origin import Origin
from edgellm_converters.gguf import adopt, adopted_size, recipe_of, requantize, requantized_size
from edgellm_converters.lora import AdapterBase, base_of_gguf
from edgellm_converters.model_card import front_matter
from edgellm_converters.pack.model_input import Sink, SourceFacts, StandsAlone
from edgellm_converters.pack.sampling import sampling_defaults
from edgellm_converters.recipes import RECIPES, get_recipe
from edgellm_converters.shape import shape_of_gguf
from edgellm_converters.source_docs import SourceDocument, find_documents, license_ids

__all__ = ["AS_IS", "GGUFInput"]

AS_IS = "AS_IS"
"""The recipe's name of a file whose own recipe is none of ours."""

_FLOATS = ("F32", "F16", "BF16")
_SAMPLING_KEYS = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
                  "penalty_repeat": "repetition_penalty"}  # fmt: skip


class GGUFInput(StandsAlone):
    """See ModelInput."""

    def __init__(
        self, source: LocalSource, license_id: str | None, revision: str, origin: Origin | None = None
    ) -> None:
        self._digests = origin.digests if origin else {}
        self._model = read_model(source.parts, skip_arrays=True)
        self._header = self._model.header
        self._own_recipe = (origin.recipe if origin else None) or recipe_of(self._header) or AS_IS
        self._is_float = all(tensor.type in _FLOATS for tensor in self._header.tensors)
        metadata = self._header.metadata
        documents = _repository_documents(source)
        # Whoever quantized a model may have stated other terms than who trained it: both hold.
        stated = (*license_ids(_license_fields(metadata)), *license_ids(_card_fields(documents)))
        template = metadata.get("tokenizer.chat_template")
        self.facts = SourceFacts(
            kind="gguf",
            name=origin.name if origin else source.name,
            architecture=self._header.architecture,
            licenses=tuple(dict.fromkeys(stated)) or (license_ids({"license": license_id}) if license_id else ()),
            documents=documents,
            files={path.name: path for path in source.parts},
            sampling=self._sampling(),
            chat_template=template if isinstance(template, str) else None,
            encoder=self._encoder(),
            revision=origin.revision if origin else revision,
            url=origin.url if origin else _text(metadata, "general.source.url"),
        )

    @cached_property
    def _recipes(self) -> tuple[str, ...]:
        if not self._is_float:
            return (self._own_recipe,)
        return tuple(RECIPES) if self._own_recipe in RECIPES else (self._own_recipe, *RECIPES)

    def recipes(self) -> tuple[str, ...]:
        """The file's own, and all others when its weights are floats."""
        return self._recipes

    def shape(self, recipe: str) -> ModelShape:
        """See ModelInput."""
        if recipe == self._own_recipe:
            import msgspec

            return msgspec.structs.replace(shape_from_gguf(self._header), recipe=recipe)
        return shape_of_gguf(self._header, get_recipe(recipe))

    def adapter_base(self) -> AdapterBase:
        """See ModelInput."""
        return base_of_gguf(self._header)

    def prove_tokenizer(self, progress: Progress, cancel: CancelToken) -> None:
        """Nothing to compare with: the file's vocabulary is the only one there is."""

    def file_bytes(self, recipe: str) -> int:
        """See ModelInput."""
        if recipe == self._own_recipe:
            return adopted_size(self._model)
        return requantized_size(self._model, get_recipe(recipe))

    def finished(self, recipe: str) -> tuple[Path, str] | None:
        """See ModelInput: the file itself, when it is a whole one and its digest is known."""
        path = self._model.paths[0]
        digest = self._digests.get(path.name)
        if recipe != self._own_recipe or digest is None or self._model.is_split:
            return None
        self._check_norms()
        return path, digest

    def write(self, sinks: Mapping[str, Sink], *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        """See ModelInput."""
        targets = [(get_recipe(recipe), sink) for recipe, sink in sinks.items() if recipe != self._own_recipe]
        self._check_norms()
        if self._own_recipe in sinks:
            adopt(self._model, sinks[self._own_recipe], progress=progress, cancel=cancel)
        if targets:
            requantize(self._model, targets, threads=threads, progress=progress, cancel=cancel)

    def _check_norms(self) -> None:
        """Refuse NaN in the small F32 tensors: quantized activations hide it from the smoke test's logits."""
        import numpy as np

        for path, header in zip(self._model.paths, self._model.headers, strict=True):
            with os_errors(f"read {path}"), path.open("rb") as file:
                for tensor in header.tensors:
                    if tensor.type != "F32" or len(tensor.shape) != 1:
                        continue
                    file.seek(tensor.offset_bytes)
                    if not np.isfinite(np.frombuffer(file.read(tensor.size_bytes), "<f4")).all():
                        raise ModelFileError(
                            f"the tensor {tensor.name} of {path} holds values that are NaN or infinite",
                            hint="the file is damaged or its training diverged; fetch or convert it again",
                        )

    def _encoder(self) -> PlannedEncoder | None:
        """How the file's model makes a vector, where it generates no text. Raises UnsupportedError for a reranker."""
        header = self._header
        architecture, metadata = header.architecture, header.metadata
        if not is_encoder(architecture, metadata):
            return None
        if metadata.get(f"{architecture}.pooling_type") == RANKING:
            raise UnsupportedError(
                "the file is a reranker: it scores pairs of texts and gives no vectors", hint="take an embedding model"
            )
        if has_dense_layers(tensor.name for tensor in header.tensors):
            raise UnsupportedError(
                "the vectors of this model pass through layers behind the pooling (dense_2), which is not supported",
                hint="take an embedding model without them",
            )
        return PlannedEncoder(shape_from_gguf(header).n_embd, pooling_of(architecture, metadata) or "mean")

    def _sampling(self) -> SamplingDefaults:
        metadata = self._header.metadata
        return sampling_defaults(
            {ours: metadata.get(f"general.sampling.{key}") for key, ours in _SAMPLING_KEYS.items()}
        )


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""


def _repository_documents(source: LocalSource) -> tuple[SourceDocument, ...]:
    """The papers beside the file, when its folder is a model's own: when a model card lies there."""
    documents = tuple(find_documents(source.path.absolute().parent))
    return documents if _card_fields(documents) else ()


def _card_fields(documents: tuple[SourceDocument, ...]) -> dict[str, Any]:
    """The card beside the file; one that cannot be read says nothing: the file speaks for itself."""
    card = next((document.path for document in documents if document.name == "README.md"), None)
    if card is None:
        return {}
    try:
        return front_matter(card)
    except CheckpointError:
        return {}


def _license_fields(metadata: Mapping[str, Any]) -> dict[str, str]:
    named = {"license": _text(metadata, "general.license"), "license_name": _text(metadata, "general.license.name")}
    return {key: value for key, value in named.items() if value}
