"""Which GGUF file of a repository a device gets, from one or two headers and the sizes that the hub states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.quality import base_recipe
from edgellm.errors import DoesNotFitError, UnsupportedError
from edgellm.formats.ggml_types import row_bytes
from edgellm_converters.arch.plan import layer_order
from edgellm_converters.pack.choose import Target, choose_targets
from edgellm_converters.recipes import RECIPES, ArchFacts, Recipe, tensor_types

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape, TensorShape
    from edgellm.sources.gguf_files import GGUFFile
    from edgellm_converters.pack.model_input import ModelInput
    from edgellm_converters.pack.request import PackRequest

__all__ = ["ChosenFile", "choose_files", "file_shapes", "likely_label"]

_FLOATS = ("F32", "F16", "BF16")

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
    """See Candidates: the files of one model, by label; after ``quantizing`` also what can be made of one of floats.

    ``open_file`` reads the header of one file. The others get its geometry with the types of their recipe, and the size
    that they really have.
    """

    def __init__(self, files: Sequence[GGUFFile], open_file: Callable[[GGUFFile], ModelInput], first: str) -> None:
        self._files = {file.label: file for file in files}
        self._open_file = open_file
        self._opened: dict[str, ModelInput] = {}
        self._first = first
        self._source: GGUFFile | None = None
        self._made: tuple[str, ...] = ()

    def recipes(self) -> tuple[str, ...]:
        """The labels, and the recipes that can be made."""
        return (*self._files, *self._made)

    def shape(self, recipe: str) -> ModelShape:
        """Read from the header, or derived from the one that was read first."""
        if recipe in self._made and self._source is not None:
            return self.opened(self._source).shape(recipe)
        file, nearest = self._files[recipe], _nearest(recipe)
        if nearest is None or recipe == self._first or self.is_measured(recipe):
            shape = self.opened(file).shape(recipe)
            return msgspec.structs.replace(shape, recipe=recipe, file_bytes=file.size_bytes)
        first = self._files[self._first]
        known = self.opened(first).shape(first.label)
        header_bytes = max(first.size_bytes - known.weights_bytes, 0)
        data_bytes = max(file.size_bytes - header_bytes, 1)
        tensors = _retyped(known, nearest, data_bytes)
        return msgspec.structs.replace(known, recipe=recipe, tensors=tensors, file_bytes=file.size_bytes)

    def opened(self, file: GGUFFile) -> ModelInput:
        """The file with its header read."""
        if file.label not in self._opened:
            self._opened[file.label] = self._open_file(file)
        return self._opened[file.label]

    def measure(self, recipe: str) -> None:
        """Read the header of the file of ``recipe``."""
        self.opened(self.file_of(recipe))

    def is_measured(self, recipe: str) -> bool:
        """True when the shape comes from a header that was read, and not from that of another quant."""
        return recipe in self._made or recipe in self._opened

    def file_of(self, recipe: str) -> GGUFFile:
        """The file that is, or becomes, the model of ``recipe``."""
        if recipe in self._made and self._source is not None:
            return self._source
        return self._files[recipe]

    def are_floats(self) -> bool:
        """True when not one of the files was quantized."""
        return all(self._is_float(file) for file in self._files.values())

    def quantizing(self) -> GGUFCandidates | None:
        """The same with what the smallest file of floats can be quantized to; None without such a file."""
        floats = sorted(filter(self._is_float, self._files.values()), key=lambda file: file.label != "BF16")
        for file in sorted(floats, key=lambda file: file.size_bytes):
            made = [recipe for recipe in self.opened(file).recipes() if recipe in RECIPES and recipe not in _FLOATS]
            if made and made != [file.label]:
                found = copy(self)
                found._source, found._made = file, tuple(recipe for recipe in made if recipe not in self._files)
                return found
        return None

    def _is_float(self, file: GGUFFile) -> bool:
        """By its label; a label that says nothing is no answer, the header is."""
        if file.is_float or _nearest(file.label) is not None:
            return file.is_float
        return len(self.opened(file).recipes()) > 1


@dataclass(frozen=True)
class ChosenFile:
    """One device, what it gets, and of which file."""

    file: GGUFFile
    source: ModelInput  # that file's header
    target: Target


def choose_files(
    request: PackRequest, files: Sequence[GGUFFile], open_file: Callable[[GGUFFile], ModelInput]
) -> list[ChosenFile]:
    """The file for each device, by the rules of `pack`; confirmed by the file's own header.

    A published quant that fits comes first. Where there is none, what a file of floats can be quantized to counts.
    ``request.recipe`` is a label, a recipe to make, or "auto". Raises DoesNotFitError, UsageError.
    """
    candidates = GGUFCandidates(files, open_file, likely_label(request, files))
    chosen = []
    for device in request.devices:
        found, target = _choose(replace(request, devices=(device,)), candidates)
        file = found.file_of(target.choice.recipe)
        chosen.append(ChosenFile(file, candidates.opened(file), target))
    return chosen


def file_shapes(
    request: PackRequest, files: Sequence[GGUFFile], open_file: Callable[[GGUFFile], ModelInput]
) -> dict[str, ModelShape]:
    """What ``choose_files`` would choose from, for the one device of ``request``: recipe -> shape.

    Where nothing fits, the shapes show it.
    """
    candidates = GGUFCandidates(files, open_file, likely_label(request, files))
    found, _target = _choose(replace(request, force=True), candidates)
    recipes = found.recipes() if request.recipe == "auto" else (request.recipe,)
    return {recipe: found.shape(recipe) for recipe in recipes}


def _choose(request: PackRequest, candidates: GGUFCandidates) -> tuple[GGUFCandidates, Target]:
    """For the one device of ``request``."""
    if request.recipe in candidates.recipes():
        return candidates, _confirmed(request, candidates)
    if request.recipe == "auto" and not candidates.are_floats():
        try:
            return candidates, _confirmed(replace(request, force=False), candidates)
        except DoesNotFitError:
            made = candidates.quantizing()
            if made is None and not request.force:
                raise
    else:
        made = candidates.quantizing()
        if made is None and request.recipe != "auto":
            raise UnsupportedError(
                f"none of these files can become {request.recipe}: not all of their weights are floats",
                hint="take a file as it is (OWNER/REPO:FILE.gguf)",
            )
    found = made or candidates
    return found, _confirmed(request, found)


def _confirmed(request: PackRequest, candidates: GGUFCandidates) -> Target:
    while True:
        [target] = choose_targets(request, candidates)
        if candidates.is_measured(target.choice.recipe):
            return target
        candidates.measure(target.choice.recipe)


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
        n_layers=1 + max(layer_order(tensor.name)[0] for tensor in ordered),
        n_heads=known.n_heads,
        n_kv_heads=known.layers[0].n_kv_heads if known.layers else known.n_heads,
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
