"""The format of a pack that names none: GGUF, or ONNX where the evidence for every device says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.format_choice import FormatVerdict, choose_format, may_be_onnx
from edgellm.errors import EdgeLLMError
from edgellm_converters.pack.choose import Target, choose_targets

if TYPE_CHECKING:
    from edgellm.devices.benched import BenchedModel
    from edgellm.devices.load import LoadedProfile
    from edgellm_converters.pack.model_input import ModelInput
    from edgellm_converters.pack.request import PackRequest

__all__ = ["AUTO_FORMAT", "settle_format"]

AUTO_FORMAT = "auto"

OpenAs = Callable[[str], AbstractContextManager["ModelInput"]]
"""Opens the source for a format, headers only."""


def settle_format(request: PackRequest, open_as: OpenAs, *, has_tokenizer_json: bool) -> PackRequest:
    """``request`` with a format, and with what was chosen for each device; as it is when it has one already.

    ``has_tokenizer_json``: whether that file, which an ONNX model needs, is in the checkpoint.
    The weights are read once for all devices, so one that needs a GGUF gives all of them one. Raises what choosing
    among GGUF recipes raises.
    """
    if request.format != AUTO_FORMAT:
        return request
    as_gguf = replace(request, format="gguf")
    settled = request.recipe != "auto" or request.adapters or request.source.kind != "checkpoint"
    if settled or not any(_evidence(request, one) for one in request.devices):
        return as_gguf
    with open_as("gguf") as model:
        gguf = choose_targets(as_gguf, model)
        shape = model.shape(gguf[0].choice.recipe)
    onnx: list[Target | None] = [None] * len(gguf)
    if has_tokenizer_json:
        onnx = _onnx_targets(replace(request, format="onnx"), open_as)
    verdicts = [
        choose_format(
            shape, one.choice, other.choice if other else None, one.device.profile, _benched(request, one.device)
        )
        for one, other in zip(gguf, onnx, strict=True)
    ]
    chosen = [target for target, verdict in zip(onnx, verdicts, strict=True) if target and verdict.format == "onnx"]
    if len(chosen) == len(verdicts):
        reasoned = tuple(_with_reason(target, verdict) for target, verdict in zip(chosen, verdicts, strict=True))
        return replace(request, format="onnx", targets=reasoned)
    return replace(as_gguf, targets=tuple(gguf), notes=tuple(_notes(gguf, verdicts)))


def _evidence(request: PackRequest, device: LoadedProfile) -> bool:
    return may_be_onnx(_benched(request, device), device.profile)


def _benched(request: PackRequest, device: LoadedProfile) -> Sequence[BenchedModel]:
    """What was measured on ``device``."""
    return request.benched if device.is_here else ()


def _onnx_targets(request: PackRequest, open_as: OpenAs) -> list[Target | None]:
    """What would be chosen of the ONNX recipes; None where there is nothing to choose."""
    found: list[Target | None] = []
    try:
        with open_as("onnx") as model:
            for device in request.devices:
                target = None
                with contextlib.suppress(EdgeLLMError):
                    [target] = choose_targets(replace(request, devices=(device,), force=False), model)
                found.append(target)
    except (EdgeLLMError, ImportError):
        return [None] * len(request.devices)
    return found


def _with_reason(target: Target, verdict: FormatVerdict) -> Target:
    choice = target.choice
    return replace(target, choice=msgspec.structs.replace(choice, why=f"{verdict.why} {choice.why}"))


def _notes(targets: Sequence[Target], verdicts: Sequence[FormatVerdict]) -> list[str]:
    """Why it is GGUF."""
    notes = []
    for target, verdict in zip(targets, verdicts, strict=True):
        why = verdict.why
        if verdict.format == "onnx":
            why += " Another device of this pack takes GGUF, so this one does too: pack it by itself."
        notes.append(why if len(targets) == 1 else f"{target.device.profile.name}: {why}")
    return notes
