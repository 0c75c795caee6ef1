"""Calibrates this machine: memory bandwidth, then a small model of each weight type in a child process of its own."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import asdict

from edgellm.devices.calibration import Calibration, Machine, Measured, this_machine
from edgellm.devices.local import available_memory_bytes
from edgellm.devices.repack import row_multiples
from edgellm.devices.topology import cpu_features
from edgellm.errors import BackendError, DoesNotFitError, EdgeLLMError, Interrupted, UsageError
from edgellm.formats.ggml_types import TYPES
from edgellm.progress import CancelToken, Progress
from edgellm.units import format_bytes
from edgellm_runtimes.calibrate.rounds import ROUNDS, Model, Usual, usual_timings
from edgellm_runtimes.calibrate.sizes import child_bytes, choose_shapes, last_cache_bytes
from edgellm_runtimes.calibrate.solve import Reference, kernel_speed, solve_reference, solve_values
from edgellm_runtimes.calibrate.synthetic import Shape
from edgellm_runtimes.calibrate.timing import Timing
from edgellm_runtimes.child import run_child

__all__ = ["WEIGHT_TYPES", "measure"]

REFERENCE_TYPE = "Q8_0"
REPACKED_REFERENCE_TYPE = "Q4_0"  # every processor that repacks anything repacks this
# What recipes consist of, but F32 and BF16: nobody runs them on a small device, and some need minutes for them.
WEIGHT_TYPES = (
    REFERENCE_TYPE,
    *("Q4_0", "Q4_K", "Q6_K", "Q5_K", "Q5_0", "Q5_1", "F16", "IQ4_NL", "Q3_K", "Q2_K", "IQ4_XS", "Q4_1"),
)

_BANDWIDTH_BYTES = 256 << 20
_BANDWIDTH_REPEATS = 8
_TIMEOUT_S = 600.0


def measure(
    progress: Progress,
    cancel: CancelToken,
    *,
    types: Sequence[str] = WEIGHT_TYPES,
    budget_s: float = 0.4,
    rounds: int = ROUNDS,
    shapes: tuple[Shape, Shape] | None = None,
) -> Calibration:
    """Measure this machine with its decode threads; nothing else should run meanwhile.

    Every type of ``types`` (the first one always is Q8_0) is timed for about ``budget_s`` seconds per kind of step
    and round, with repacked weights too where the processor has them. ``shapes`` are the wide and the narrow model, by
    default what this machine's caches and memory ask for. A type for which memory runs out, or llama.cpp fails, is left
    out with a message; without Q8_0 there is no result. Raises DoesNotFitError, NoSpaceError, BackendError, UsageError,
    Interrupted.
    """
    if unknown := [name for name in types if name not in TYPES]:
        raise UsageError(f"{unknown[0]!r} is no weight type", hint=f"known: {', '.join(WEIGHT_TYPES)}")
    machine = this_machine()
    read_gb_s, copy_gb_s = _bandwidth(machine.threads, progress)
    cancel.check()
    wide, narrow = shapes or choose_shapes(last_cache_bytes(), available_memory_bytes())
    reference, narrow_reference = Model(wide, REFERENCE_TYPE, False, deep=True), Model(narrow, REFERENCE_TYPE, False)
    models = [reference, narrow_reference]
    copied = row_multiples(cpu_features(Path("/")))
    narrow_repacked = Model(narrow, REPACKED_REFERENCE_TYPE, True)
    models += [narrow_repacked] * (REPACKED_REFERENCE_TYPE in copied and REPACKED_REFERENCE_TYPE in types)
    for type_name in dict.fromkeys((REFERENCE_TYPE, *types)):
        models += [Model(wide, type_name, False)] * (type_name != REFERENCE_TYPE)
        models += [Model(wide, type_name, True)] * (type_name in copied)

    def time_one(model: Model, number: int) -> Timing | None:
        name = f"{model.type_name}{', repacked' if model.repack else ''}"
        progress.phase(f"measure {name}, round {number + 1} of {rounds}")
        try:
            _check_memory(model)
            return _timing(model, machine, budget_s, cancel)
        except EdgeLLMError as error:
            if isinstance(error, Interrupted) or model in (reference, narrow_reference):
                raise
            progress.message(f"warning: {name} is left out, the most similar type stands for it: {error}")
            return None

    timings = usual_timings(models, time_one, rounds)
    rest = solve_reference(wide, timings[reference].timing, narrow, timings.pop(narrow_reference).timing)
    repacked = timings.pop(narrow_repacked, None), timings.get(Model(wide, REPACKED_REFERENCE_TYPE, True))
    repacked_rest = None
    if repacked[0] is not None and repacked[1] is not None:
        repacked_rest = solve_values(wide, repacked[1].timing, narrow, repacked[0].timing, rest)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Calibration(
        machine=machine,
        date=date,
        read_gb_s=round(read_gb_s, 2),
        copy_gb_s=round(copy_gb_s, 2),
        measured=_measured(f"measured here on {date}, {machine.runtime}", rest, repacked_rest, timings),
    )


def _bandwidth(threads: int, progress: Progress) -> tuple[float, float]:
    from edgellm_runtimes._native import memory_bandwidth

    progress.phase("measure memory")
    size_bytes = min(_BANDWIDTH_BYTES, (available_memory_bytes() or _BANDWIDTH_BYTES) // 8)
    try:
        return memory_bandwidth(max(size_bytes, threads << 20), threads, _BANDWIDTH_REPEATS)
    except (MemoryError, RuntimeError) as error:  # no room, or no further thread, as under `ulimit -v`
        raise BackendError(
            f"the speed of memory cannot be measured: {error}", hint="close other programs, or raise the limit"
        ) from error


def _check_memory(model: Model) -> None:
    """Other programs may have taken since what was free when the models' sizes were chosen."""
    needed, free = child_bytes(model.shape, model.type_name, model.repack), available_memory_bytes()
    if free is not None and free < needed:
        raise DoesNotFitError(
            f"a small model in {model.type_name} needs {format_bytes(needed)}, {format_bytes(free)} are free",
            hint="close other programs",
        )


def _timing(model: Model, machine: Machine, budget_s: float, cancel: CancelToken) -> Timing:
    shape, type_name = model.shape, model.type_name
    arguments = ["--type", type_name, "--threads", str(machine.threads), "--budget", str(budget_s)]
    arguments += ["--n-embd", str(shape.n_embd), "--n-ff", str(shape.n_ff), "--n-layers", str(shape.n_layers)]
    arguments += ["--repack"] * model.repack + ["--deep"] * model.deep
    return run_child(
        "edgellm_runtimes.calibrate.timing_child",
        arguments,
        Timing,
        what=f"the measurement of {type_name}",
        subject=f"a small model in {type_name}",
        timeout_s=_TIMEOUT_S,
        cancel=cancel,
    )


def _measured(
    source: str, rest: Reference, repacked_rest: Reference | None, timings: Mapping[Model, Usual]
) -> Measured:
    kernels = [
        kernel_speed(model.type_name, model.repack, model.shape, usual.timing, (model.repack and repacked_rest) or rest)
        for model, usual in timings.items()
    ]
    spread = statistics.median(usual.spread for usual in timings.values())
    return Measured(
        source=source,
        kernels=tuple(kernels),
        spread=min(1.0, round(spread, 4)),
        repacked_decode_value_seconds=repacked_rest.decode_value_seconds if repacked_rest else None,
        repacked_prefill_value_seconds=repacked_rest.prefill_value_seconds if repacked_rest else None,
        **asdict(rest),
    )
