"""The scales of an int8 KV cache: what the model itself keeps for a sample of text, measured with its float32 graph."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgellm.errors import UnsupportedError

if TYPE_CHECKING:
    from edgellm.bundle.manifest import Descriptor
    from edgellm.bundle.writer import BundleWriter
    from edgellm.progress import CancelToken, Progress
    from edgellm_converters.pack.choose import Target
    from edgellm_converters.pack.model_files import SmallFileWriter
    from edgellm_converters.pack.model_input import ModelInput
    from edgellm_converters.pack.request import KvRanges, MeasureKv

__all__ = ["INT8_KV", "measure_kv_ranges"]

INT8_KV = "int8"
"""The type of such a cache, as settings call it."""


def measure_kv_ranges(
    model: ModelInput,
    targets: Sequence[Target],
    weights: Mapping[str, Descriptor],
    small: SmallFileWriter,
    writer: BundleWriter,
    measure: MeasureKv | None,
    progress: Progress,
    cancel: CancelToken,
) -> dict[str, KvRanges]:
    """Recipe -> the largest numbers of each channel, for the recipes that a target wants with an int8 cache.

    Raises UnsupportedError without a runtime that measures, and what ``measure`` raises.
    """
    found: dict[str, KvRanges] = {}
    for target in targets:
        recipe = target.choice.recipe
        if target.choice.settings.kv_type_k != INT8_KV or recipe in found:
            continue
        if measure is None:
            raise UnsupportedError("an int8 KV cache cannot be packed without a runtime that measures its ranges")
        cancel.check()
        progress.phase(f"measure the KV cache of {recipe}")
        files = small.complete(model, recipe, weights[recipe], target.choice.settings.context)
        with contextlib.ExitStack() as stack:
            path, parts = files.readable(writer, stack)
            found[recipe] = measure(path, parts, model.sample_tokens(), cancel)
    return found
