"""Calibrates this machine: memory bandwidth, then a small model of each weight type in a child process of its own."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from pathlib import Path

from edgellm.devices.calibration import Calibration, KernelSpeed, Machine, Measured, this_machine
from edgellm.devices.local import available_memory_bytes
from edgellm.devices.repack import row_multiples
from edgellm.devices.topology import cpu_features
from edgellm.errors import UsageError
from edgellm.formats.ggml_types import TYPES
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.calibrate.solve import Reference, kernel_speed, solve_reference
from edgellm_runtimes.calibrate.synthetic import Shape
from edgellm_runtimes.calibrate.timing import Timing
from edgellm_runtimes.child import run_child

__all__ = ["WEIGHT_TYPES", "measure"]

REFERENCE_TYPE = "Q8_0"
WEIGHT_TYPES = (REFERENCE_TYPE, "Q4_0", "Q4_K", "Q6_K", "Q5_K", "Q5_0", "Q5_1", "F16", "IQ4_NL", "Q3_K")

_WIDE = Shape(n_embd=1024, n_ff=3072, n_layers=4)
_NARROW = Shape(n_embd=256, n_ff=768, n_layers=16)
_MODEL_MEMORY_BYTES = 400 << 20  # of the largest child for four layers of F16
_BANDWIDTH_BYTES = 256 << 20
_BANDWIDTH_REPEATS = 8
_SLOW_PROMPT_S = 0.8  # a machine that takes longer gets models of half the size
_TIMEOUT_S = 600.0


def measure(
    progress: Progress,
    cancel: CancelToken,
    *,
    types: Sequence[str] = WEIGHT_TYPES,
    budget_s: float = 0.8,
    layers: int | None = None,
) -> Calibration:
    """Measure this machine with its decode threads; nothing else should run meanwhile.

    Every type of ``types`` (the first one always is Q8_0) is timed for about ``budget_s`` seconds per kind of step,
    with repacked weights too where the processor has them. ``layers`` is the size of the models, by default what memory
    and speed allow (1 to 4). Raises BackendError when llama.cpp fails or crashes, UsageError, Interrupted.
    """
    if unknown := [name for name in types if name not in TYPES]:
        raise UsageError(f"{unknown[0]!r} is no weight type", hint=f"known: {', '.join(WEIGHT_TYPES)}")
    machine = this_machine()
    read_gb_s, copy_gb_s = _bandwidth(machine.threads, progress)
    cancel.check()
    wide = Shape(_WIDE.n_embd, _WIDE.n_ff, layers or _layers_in_memory())

    def time_one(shape: Shape, type_name: str, *, repack: bool = False, deep: bool = False) -> Timing:
        form = ", repacked" if repack else ""
        progress.phase(f"measure {type_name}{form}")
        return _timing(shape, type_name, machine, budget_s, cancel, repack=repack, deep=deep)

    first = time_one(wide, REFERENCE_TYPE, deep=True)
    if layers is None and first.prefill_s > _SLOW_PROMPT_S and wide.n_layers > 1:
        wide = Shape(wide.n_embd, wide.n_ff, max(1, wide.n_layers // 2))
        first = time_one(wide, REFERENCE_TYPE, deep=True)
    reference = solve_reference(wide, first, _NARROW, time_one(_NARROW, REFERENCE_TYPE))
    timings = {(REFERENCE_TYPE, False): first}
    copied = row_multiples(cpu_features(Path("/")))
    for type_name in dict.fromkeys((REFERENCE_TYPE, *types)):
        for repack in (False, True) if type_name in copied else (False,):
            if (type_name, repack) not in timings:
                timings[type_name, repack] = time_one(wide, type_name, repack=repack)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Calibration(
        machine=machine,
        date=date,
        read_gb_s=round(read_gb_s, 2),
        copy_gb_s=round(copy_gb_s, 2),
        measured=_measured(f"measured here on {date}, {machine.runtime}", reference, wide, timings),
    )


def _bandwidth(threads: int, progress: Progress) -> tuple[float, float]:
    from edgellm_runtimes._native import memory_bandwidth

    progress.phase("measure memory")
    size_bytes = min(_BANDWIDTH_BYTES, (available_memory_bytes() or _BANDWIDTH_BYTES) // 8)
    return memory_bandwidth(max(size_bytes, threads << 20), threads, _BANDWIDTH_REPEATS)


def _layers_in_memory() -> int:
    available = available_memory_bytes()
    if available is None:
        return _WIDE.n_layers
    return max(1, min(_WIDE.n_layers, _WIDE.n_layers * available // (2 * _MODEL_MEMORY_BYTES)))


def _timing(
    shape: Shape, type_name: str, machine: Machine, budget_s: float, cancel: CancelToken, *, repack: bool, deep: bool
) -> Timing:
    arguments = ["--type", type_name, "--threads", str(machine.threads), "--budget", str(budget_s)]
    arguments += ["--n-embd", str(shape.n_embd), "--n-ff", str(shape.n_ff), "--n-layers", str(shape.n_layers)]
    arguments += ["--repack"] * repack + ["--deep"] * deep
    return run_child(
        "edgellm_runtimes.calibrate.timing",
        arguments,
        Timing,
        what=f"the measurement of {type_name}",
        subject=f"a small model in {type_name}",
        timeout_s=_TIMEOUT_S,
        cancel=cancel,
    )


def _measured(source: str, reference: Reference, shape: Shape, timings: dict[tuple[str, bool], Timing]) -> Measured:
    kernels: list[KernelSpeed] = []
    for (type_name, repacked), timing in timings.items():
        kernels.append(kernel_speed(type_name, repacked, shape, timing, reference))
    spreads = [max(timing.decode_spread, timing.prefill_spread) for timing in timings.values()]
    return Measured(
        source=source,
        kernels=tuple(kernels),
        layer_seconds=reference.layer_seconds,
        decode_attention_gops=reference.decode_attention_gops,
        prefill_attention_gops=reference.prefill_attention_gops,
        prefill_value_seconds=reference.prefill_value_seconds,
        spread=min(1.0, round(statistics.median(spreads), 4)),
    )
