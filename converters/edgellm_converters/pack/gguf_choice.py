"""Which GGUF file of a repository a device gets, from one or two headers and the sizes that the hub states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.quality import base_recipe
from edgellm.errors import UnsupportedError
from edgellm.formats.ggml_types import row_bytes
from edgellm_converters.arch.plan import layer_order
from edgellm_converters.pack.choose import Target, choose_targets
from edgellm_converters.recipes import RECIPES, ArchFacts, Recipe, tensor_types

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape, TensorShape
    from edgellm.sources.gguf_files import GGUFFile
    from edgellm_converters.pack.request import PackRequest

__all__ = ["GGUFCandidates", "choose_files", "choose_targets_of", "likely_label"]

# What a mix that we do not write is nearest to, in bits and in what the processor does with it.
_NEAREST = (
    ("IQ4", "IQ4_XS"),
    ("IQ3", "Q3_K_M"),
    ("IQ", "Q2_K"),
    ("TQ", "Q2_K"),
    ("Q5_0", "Q5_K_S"),
    ("Q5_1", "Q5_K_M"),
)


class GGUFCandidates:
    """See Candidates: the files of one model, by label.

    ``measure`` reads the header of one file. The others get its geometry with the types of their recipe, and the size
    that they really have.
    """

    def __init__(self, files: Sequence[GGUFFile], measure: Callable[[GGUFFile], ModelShape], first: str) -> None:
        self._files = {file.label: file for file in files}
        self._measure = measure
        self._measured: dict[str, ModelShape] = {}
        self._first = first

    def recipes(self) -> tuple[str, ...]:
        """The labels."""
        return tuple(self._files)

    def shape(self, recipe: str) -> ModelShape:
        """Measured, or derived from the one that was measured first."""
        if recipe in self._measured:
            return self._measured[recipe]
        nearest = _nearest(recipe)
        known = self.measure(self._first)
        if nearest is None or recipe == self._first:
            return self.measure(recipe)
        header_bytes = max(self._files[self._first].size_bytes - known.weights_bytes, 0)
        data_bytes = max(self._files[recipe].size_bytes - header_bytes, 1)
        return msgspec.structs.replace(known, recipe=recipe, tensors=_retyped(known, nearest, data_bytes))

    def measure(self, recipe: str) -> ModelShape:
        """The shape from the file's own header."""
        if recipe not in self._measured:
            shape = self._measure(self._files[recipe])
            self._measured[recipe] = msgspec.structs.replace(shape, recipe=recipe)
        return self._measured[recipe]

    def is_measured(self, recipe: str) -> bool:
        """True when the shape comes from the file's own header."""
        return recipe in self._measured


def choose_files(
    request: PackRequest, files: Sequence[GGUFFile], measure: Callable[[GGUFFile], ModelShape]
) -> tuple[Target, ...]:
    """The file for each device, as a label, by the rules of `pack`; confirmed by the file's own header.

    Raises DoesNotFitError, UsageError.
    """
    return choose_targets_of(request, GGUFCandidates(files, measure, likely_label(request, files)))


def choose_targets_of(request: PackRequest, candidates: GGUFCandidates) -> tuple[Target, ...]:
    """The same for candidates that the caller keeps."""
    while True:
        targets = choose_targets(request, candidates)
        guessed = [target.choice.recipe for target in targets if not candidates.is_measured(target.choice.recipe)]
        if not guessed:
            return tuple(targets)
        for label in guessed:
            candidates.measure(label)


def likely_label(request: PackRequest, files: Sequence[GGUFFile]) -> str:
    """The label that will probably be chosen: its header is read in any case."""
    labels = [file.label for file in files]
    wanted = [request.recipe, *(recipe for device in request.devices for recipe in device.profile.policy.preferred)]
    return next((label for label in (*wanted, "Q4_K_M", "Q4_0") if label in labels), labels[0])


def _nearest(label: str) -> Recipe | None:
    known = RECIPES.get(base_recipe(label))
    plain = label.removeprefix("UD-")
    return known or next((RECIPES[name] for start, name in _NEAREST if plain.startswith(start)), None)


def _retyped(known: ModelShape, recipe: Recipe, data_bytes: int) -> tuple[TensorShape, ...]:
    """The tensors in the types of ``recipe``, their sizes scaled so that together they have ``data_bytes``."""
    ordered = sorted(known.tensors, key=lambda tensor: layer_order(tensor.name))
    facts = ArchFacts(
        known.architecture,
        n_layers=len(known.layers),
        n_heads=known.n_heads,
        n_kv_heads=known.layers[0].n_kv_heads,
        n_experts=known.n_experts,
    )
    kept = {tensor.name: tensor.type for tensor in ordered}
    try:
        types = tensor_types(recipe, [tensor for tensor in ordered if tensor.shape], facts, kept_types=kept)
    except UnsupportedError:  # rows that no type of this recipe fits: the publisher did something else
        types = kept
    sizes = [_nominal(tensor, types.get(tensor.name, tensor.type)) for tensor in ordered]
    scale = data_bytes / max(sum(sizes), 1)
    scaled = [round(size * scale) for size in sizes]
    scaled[-1] = max(0, scaled[-1] + data_bytes - sum(scaled))
    return tuple(
        msgspec.structs.replace(tensor, type=types.get(tensor.name, tensor.type), size_bytes=size)
        for tensor, size in zip(ordered, scaled, strict=True)
    )


def _nominal(tensor: TensorShape, type_name: str) -> int:
    row_length = tensor.shape[0] if tensor.shape else 1
    return row_bytes(type_name, row_length) * (tensor.n_elements // row_length)
