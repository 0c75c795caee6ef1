"""Which recipe, context and number of sequences each device gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from edgellm.devices.fit import Choice, FitRequest, choose, fit_table
from edgellm.errors import DoesNotFitError
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.devices.load import LoadedProfile
    from edgellm.devices.model import ModelShape
    from edgellm_converters.pack.request import PackRequest

__all__ = ["Candidates", "Target", "choose_targets"]


_FORCED_CONTEXT = 512  # what is packed although it does not fit gets no more than this by itself


class Candidates(Protocol):
    """What is chosen from: a ModelInput, or the files of a repository."""

    def recipes(self) -> tuple[str, ...]:
        """The recipes there are."""

    def shape(self, recipe: str) -> ModelShape:
        """The model as one of them."""


@dataclass(frozen=True)
class Target:
    """One device and what was chosen for it."""

    device: LoadedProfile
    choice: Choice


def choose_targets(request: PackRequest, model: Candidates) -> list[Target]:
    """Choose for every device. Raises DoesNotFitError, UnsupportedError for a recipe that the source cannot give."""
    recipe = None if request.recipe == "auto" else request.recipe
    candidates = {name: model.shape(name) for name in ([recipe] if recipe else model.recipes())}
    fit_request = FitRequest(
        context=request.context,
        sequences=request.sequences,
        min_speed=request.min_speed,
        recipe=recipe,
        accelerators=request.accelerators,
        adapter_bytes=sum(adapter.memory_bytes for adapter in request.adapters),
    )
    return [
        Target(device, _choose(model, candidates, device, fit_request, request.force)) for device in request.devices
    ]


def _choose(
    model: Candidates,
    candidates: Mapping[str, ModelShape],
    device: LoadedProfile,
    request: FitRequest,
    force: bool,
) -> Choice:
    try:
        return choose(candidates, device.profile, request)
    except DoesNotFitError as misfit:
        if not force:
            raise _with_fitting_recipe(misfit, model, device, request) from misfit
        least = min([_FORCED_CONTEXT, *(shape.context_length or _FORCED_CONTEXT for shape in candidates.values())])
        small = msgspec.structs.replace(request, context=request.context or least)
        rows = [row for row in fit_table(candidates, device.profile, small) if request.recipe in (None, row.recipe)]
        row = min(rows, key=lambda row: row.memory_bytes)
        why = f"{misfit.message}. Packed all the same, because --force was given."
        return Choice(recipe=row.recipe, settings=row.settings, estimate=row.estimate, why=why, table=tuple(rows))


def _with_fitting_recipe(
    misfit: DoesNotFitError, model: Candidates, device: LoadedProfile, request: FitRequest
) -> DoesNotFitError:
    """The refusal of a given recipe, with the one that would fit."""
    if request.recipe is None:
        return misfit
    try:
        shapes = {recipe: model.shape(recipe) for recipe in model.recipes()}
        other = choose(shapes, device.profile, msgspec.structs.replace(request, recipe=None))
    except DoesNotFitError:
        return misfit
    memory = format_bytes(other.estimate.memory.total_bytes)
    return DoesNotFitError(
        misfit.message, hint=f"--quant {other.recipe} fits with {memory}; or {misfit.hint or 'take another device'}"
    )
