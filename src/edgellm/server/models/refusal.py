"""What is said when a model cannot have the memory that it needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from edgellm.api.models import Room
from edgellm.errors import BusyError, DoesNotFitError
from edgellm.server.models.choice import LoadChoice
from edgellm.server.models.resident import Resident
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm_runtimes.load import LoadForecast

__all__ = ["does_not_fit", "no_room_yet"]


def does_not_fit(
    name: str,
    choice: LoadChoice,
    forecast: LoadForecast,
    room: Room,
    most_bytes: int,
    pinned: Collection[Resident],
    *,
    budget_is_set: bool,
) -> DoesNotFitError:
    """The refusal of ``choice``. ``most_bytes`` is what could be had if all that may be unloaded were."""
    most_bytes = max(0, most_bytes)
    message = f"{_what(name, choice)}; models may take {format_bytes(room.models_bytes)} here"
    if pinned:
        held = sum(resident.needed_bytes for resident in pinned)
        names = ", ".join(sorted(resident.bundle.name for resident in pinned))
        message += f", {format_bytes(held)} of it pinned ({names})"
    elif most_bytes < room.models_bytes:
        message += f", {format_bytes(most_bytes)} can be had now"
    settings = forecast.settings(choice.context, choice.sequences)

    def needs(context: int) -> int:
        return forecast.memory(msgspec.structs.replace(settings, context=context)).total_bytes

    from edgellm_runtimes.load_memory import fitting_context

    ways = []
    context = fitting_context(choice.context, most_bytes, needs)
    if context is not None:
        ways.append(f"load it with a context of {context}")
    if pinned:
        ways.append("let go of a pinned model")
    if budget_is_set:
        ways.append("raise memory_budget")
    else:
        ways.append("close other programs")
    ways.append("take a bundle with a smaller recipe (edgellm fit shows what fits)")
    return DoesNotFitError(message, hint=f"{', '.join(ways)}, or force the load")


def no_room_yet(name: str, choice: LoadChoice, room: Room, busy: Collection[Resident], waited_s: float) -> BusyError:
    """It would fit, but those that have the memory were in use all the time."""
    names = ", ".join(sorted(resident.bundle.name for resident in busy))
    return BusyError(
        f"{_what(name, choice)}, {format_bytes(max(0, room.left_bytes))} are left, and {names or 'other models'} "
        f"could not be unloaded for {waited_s:.0f} s: requests use them",
        hint="try again when they are done, or raise memory_budget",
    )


def _what(name: str, choice: LoadChoice) -> str:
    many = f" for {choice.sequences} answers at a time" if choice.sequences > 1 else ""
    return f"{name} with a context of {choice.context}{many} needs {format_bytes(choice.total_bytes)}"
