"""Which recipe, context and number of sequences each device gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgellm.devices.fit import Choice, FitRequest, choose

if TYPE_CHECKING:
    from edgellm.devices.load import LoadedProfile

    from edgellm_converters.pack.model_input import ModelInput
    from edgellm_converters.pack.request import PackRequest

__all__ = ["Target", "choose_targets"]


@dataclass(frozen=True)
class Target:
    """One device and what was chosen for it."""

    device: LoadedProfile
    choice: Choice

    @property
    def is_other_size(self) -> bool:
        """True when --memory asked for another size than the profile's default."""
        return self.device.is_other_size


def choose_targets(request: PackRequest, model: ModelInput) -> list[Target]:
    """Choose for every device. Raises DoesNotFitError, UnsupportedError for a recipe that the source cannot give."""
    recipe = None if request.recipe == "auto" else request.recipe
    candidates = {name: model.shape(name) for name in ([recipe] if recipe else model.recipes())}
    targets = []
    for device in request.devices:
        fit_request = FitRequest(
            context=request.context, sequences=request.sequences, min_speed=request.min_speed, recipe=recipe
        )
        targets.append(Target(device, choose(candidates, device.profile, fit_request, force=request.force)))
    return targets
