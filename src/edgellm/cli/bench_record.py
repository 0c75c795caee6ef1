"""What `edgellm bench` keeps for `fit` and `pack`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.cli.bundle_shape import bundle_shape
from edgellm.errors import EdgeLLMError

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.progress import CancelToken, Progress
    from edgellm_runtimes.bench import BenchResult, BenchWork

__all__ = ["keep_results"]


def keep_results(
    state_folder: Path,
    run: str,
    work: BenchWork,
    measured: Sequence[tuple[OpenBundle, BenchResult]],
    progress: Progress,
    cancel: CancelToken,
) -> bool:
    """Keep the medians of each bundle; ``run`` is when it began. False, after a message, where they cannot be kept."""
    from edgellm.devices.benched import keep_benched
    from edgellm.sources.download import exclusive

    try:
        found = [_kept(bundle, result, run, work) for bundle, result in measured]
        with exclusive(state_folder, "bench", "keeping the measurements", progress, cancel):
            keep_benched(state_folder, found)
    except EdgeLLMError as error:
        progress.message(f"warning: the measurements are not kept: {error.message}")
        return False
    return True


def _kept(bundle: OpenBundle, result: BenchResult, run: str, work: BenchWork) -> Any:
    import msgspec

    from edgellm.devices.benched import RUNTIME_PACKAGES, BenchedModel, model_sizes
    from edgellm.devices.calibration import this_machine

    shape = bundle_shape(bundle)
    machine = this_machine(package=RUNTIME_PACKAGES[shape.format])
    return BenchedModel(
        run=run,
        machine=msgspec.structs.replace(machine, threads=result.threads),
        name=bundle.name,
        format="onnx" if shape.format == "onnx" else "gguf",
        recipe=bundle.plan.recipe,
        sizes=model_sizes(shape),
        prompt_tokens=work.prompt_tokens,
        streams=work.streams,
        prefill=result.prefill_tokens_per_s,
        decode=result.decode_tokens_per_s,
        together=result.streams_tokens_per_s,
        load_s=result.load_s,
        memory_bytes=result.anonymous_bytes,
    )
