"""Whether a bundle of the store is what a command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgellm.bundle.plan import Plan
    from edgellm_converters.pack import PackRequest
    from edgellm_converters.pack.choose import Target

__all__ = ["is_as_asked"]


def is_as_asked(plan: Plan, request: PackRequest, target: Target) -> bool:
    """True when the plan is for the memory of ``target``'s device and for what ``request`` states explicitly."""
    return (
        plan.target.memory_bytes == target.device.profile.memory.size_bytes
        and request.context in (None, plan.context)
        and request.sequences in (None, plan.sequences)
    )
