"""GET /metrics: what grew since the start, and how things are at this moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from edgellm.api.watching import ModelCounters, Statistics
from edgellm.devices.cgroup import read_text
from edgellm.devices.health import Health
from edgellm.server.telemetry.prometheus import Sample, family
from edgellm.server.telemetry.telemetry import Telemetry
from edgellm.version import __version__

__all__ = ["metrics_page"]

_MHZ = 1e6
_SCHEDULER: tuple[tuple[str, str, Literal["gauge", "counter"], str], ...] = (
    ("running", "edgellm_scheduler_running", "gauge", "Answers that have a sequence."),
    ("waiting", "edgellm_scheduler_waiting", "gauge", "Answers and embeddings in the queue."),
    ("cached_tokens", "edgellm_scheduler_cached_tokens", "gauge", "Tokens whose state is kept."),
    ("steps", "edgellm_scheduler_steps_total", "counter", "Steps of the decode thread."),
    ("step_s", "edgellm_scheduler_step_seconds_total", "counter", "Time in steps."),
    ("prompt_tokens", "edgellm_scheduler_prompt_tokens_total", "counter", "Tokens of prompts that were computed."),
    ("generated_tokens", "edgellm_scheduler_generated_tokens_total", "counter", "Tokens chosen, also unread ones."),
    ("embedded_tokens", "edgellm_scheduler_embedded_tokens_total", "counter", "Tokens computed for embeddings."),
    ("refused", "edgellm_scheduler_refused_total", "counter", "Requests refused because the queue was full."),
    ("cancelled", "edgellm_scheduler_cancelled_total", "counter", "Requests that were stopped."),
)


async def metrics_page(telemetry: Telemetry, statistics: Statistics, started: float) -> str:
    """All metrics as text; ``started`` is when the server did, in seconds since the epoch."""
    health = await telemetry.health.refresh()
    telemetry.admission.throttle(telemetry.health.is_throttled)
    parts = [telemetry.metrics.text(), *_admission(telemetry), *_models(statistics.models), *_machine(health)]
    parts += [*_memory(statistics), *_process(started)]
    return "".join(parts)


def _admission(telemetry: Telemetry) -> Iterator[str]:
    admission = telemetry.admission
    yield _gauge("edgellm_requests_in_work", "Requests that run or wait.", admission.in_work)
    yield _gauge("edgellm_throttled", "1 while heat or low power slows this machine down.", admission.is_throttled)
    gates = admission.gates()
    yield _by_model(
        "edgellm_answers_running", "Answers let through to the model.", {m: gate.running for m, gate in gates.items()}
    )
    yield _by_model(
        "edgellm_answers_held", "Answers held back while throttled.", {m: gate.waiting for m, gate in gates.items()}
    )
    limits = {model: gate.limit for model, gate in gates.items() if gate.limit is not None}
    yield _by_model("edgellm_answers_limit", "How many may run at once while throttled.", limits)


def _models(models: Sequence[ModelCounters]) -> Iterator[str]:
    """Counters of a scheduler begin anew with its worker, as Prometheus expects of counters."""
    states = [("", ("model", "state"), (each.status.name, each.status.state), 1.0) for each in models]
    yield family("edgellm_model_info", "gauge", "Models that are loaded, or on their way.", states)
    used = {each.status.name: each.status.used_bytes for each in models if each.status.used_bytes is not None}
    yield _by_model("edgellm_model_memory_bytes", "Memory of the model's worker.", used)
    silent = {each.status.name: each.status.silent_s for each in models if each.status.silent_s is not None}
    yield _by_model("edgellm_model_silent_seconds", "For how long nothing has come of what the model does.", silent)
    starts: list[Sample] = [
        ("", ("model",), (each.status.name,), each.status.starts) for each in models if each.status.starts is not None
    ]
    yield family("edgellm_model_starts_total", "counter", "How often it was loaded: again after a worker died.", starts)
    counters = {each.status.name: each.counters for each in models if each.counters is not None}
    for field, name, kind, about in _SCHEDULER:
        values = {model: getattr(found, field) for model, found in counters.items()}
        samples: list[Sample] = [("", ("model",), (model,), value) for model, value in values.items()]
        yield family(name, kind, about, samples)


def _memory(statistics: Statistics) -> Iterator[str]:
    device = statistics.device
    for value, name, about in (
        (device.memory_available_bytes, "edgellm_memory_available_bytes", "Memory that programs may still take here."),
        (device.memory_total_bytes, "edgellm_memory_total_bytes", "Memory of this machine."),
        (device.disk_free_bytes, "edgellm_disk_free_bytes", "Free on the disk of the store."),
    ):
        if value is not None:
            yield _gauge(name, about, value)


def _machine(health: Health) -> Iterator[str]:
    if health.temperature_c is not None:
        yield _gauge("edgellm_temperature_celsius", "Temperature of the processor.", health.temperature_c)
    if health.under_voltage_now is not None:
        yield _gauge("edgellm_under_voltage", "1 while the supply voltage is too low.", health.under_voltage_now)
    if health.clock_mhz is not None:
        yield _gauge("edgellm_cpu_clock_hertz", "Clock of the fastest cores.", health.clock_mhz * _MHZ)
    if health.clock_highest_mhz is not None:
        yield _gauge("edgellm_cpu_clock_highest_hertz", "What they can do.", health.clock_highest_mhz * _MHZ)


def _process(started: float) -> Iterator[str]:
    yield family("edgellm_build_info", "gauge", "The version.", [("", ("version",), (__version__,), 1)])
    yield _gauge("process_start_time_seconds", "Start of the server, in seconds since the epoch.", started)
    yield family("process_cpu_seconds_total", "counter", "CPU time of the server.", [("", (), (), time.process_time())])
    pages = read_text(Path("/proc/self/statm")).split()
    if len(pages) > 1:
        resident = int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
        yield _gauge("process_resident_memory_bytes", "Memory of the server without its workers.", resident)


def _gauge(name: str, about: str, value: float) -> str:
    return family(name, "gauge", about, [("", (), (), value)])


def _by_model(name: str, about: str, values: Mapping[str, float]) -> str:
    samples: list[Sample] = [("", ("model",), (model,), value) for model, value in values.items()]
    return family(name, "gauge", about, samples)
