"""What loading a model takes of this machine's memory, and whether that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.prediction import PredictedMemory
from edgellm.errors import DoesNotFitError
from edgellm.files import os_errors
from edgellm.progress import Progress
from edgellm.units import format_bytes
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.checks import logits_rows

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape
    from edgellm.devices.profile import Profile
    from edgellm_runtimes.load import LoadRequest

__all__ = ["adapter_bytes", "check_memory", "fitting_context", "loaded_memory"]

_SMALLEST_CONTEXT = 256


def loaded_memory(
    settings: BackendSettings, shape: ModelShape, machine: Profile, more_bytes: int = 0
) -> PredictedMemory:
    """The memory of one process with the model loaded as ``settings`` say; ``more_bytes`` are those of adapters."""
    from edgellm.devices.memory import predict_memory
    from edgellm.devices.settings import RunSettings

    run = RunSettings(
        context=settings.context,
        sequences=settings.sequences,
        ubatch=settings.ubatch,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        flash_attention=settings.flash_attention,
        mmap=settings.mmap,
        repack=settings.repack,
        n_outputs=logits_rows(settings),
        own_cells=not settings.shared_cells,
        adapter_bytes=more_bytes,
    )
    return predict_memory(shape, run, machine.cpu.features, machine.memory)


def check_memory(
    request: LoadRequest, settings: BackendSettings, shape: ModelShape, machine: Profile, progress: Progress
) -> None:
    """Raise DoesNotFitError, with the way out, when the model needs more than is free; forced, it is said alone."""
    from edgellm.devices.local import available_memory_bytes

    more_bytes = adapter_bytes(request.adapters)

    def needs(context: int) -> int:
        changed = msgspec.structs.replace(settings, context=context)
        return loaded_memory(changed, shape, machine, more_bytes).total_bytes

    needed = needs(settings.context)
    available = available_memory_bytes()
    if available is None:
        progress.message("how much memory is free cannot be read here: whether the model fits was not checked")
        return
    if needed <= available:
        return
    message = (
        f"{request.name or request.model_path.name} with a context of {settings.context} needs {format_bytes(needed)}, "
        f"this machine has {format_bytes(available)} free"
    )
    if request.force:
        progress.message(f"{message}: loading it anyway (--force)")
        return
    hints = []
    context = fitting_context(settings.context, available, needs)
    if context is not None:
        hints.append(f"--context {context}")
    hints.append("a bundle with a smaller recipe (edgellm fit shows what fits)")
    raise DoesNotFitError(message, hint=f"try {', '.join(hints)}, close other programs, or --force")


def fitting_context(context: int, available_bytes: int, needs: Callable[[int], int]) -> int | None:
    """The largest of ``context`` halved, halved again and so on that ``needs`` no more than ``available_bytes``."""
    context //= 2
    while context > _SMALLEST_CONTEXT and needs(context) > available_bytes:
        context //= 2
    return context if context >= _SMALLEST_CONTEXT and needs(context) <= available_bytes else None


def adapter_bytes(adapters: Mapping[str, Path]) -> int:
    """What all adapters take when each has been used once: the data of their files is copied into memory."""
    with os_errors("read the adapters"):
        return sum(path.stat().st_size for path in adapters.values())
