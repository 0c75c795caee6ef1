"""GET /metrics: what grew since the start, and how things are at this moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from edgellm.devices.cgroup import read_text
from edgellm.devices.health import Health
from edgellm.devices.local import available_memory_bytes
from edgellm.server.telemetry.prometheus import Sample, family
from edgellm.server.telemetry.telemetry import Telemetry
from edgellm.version import __version__

__all__ = ["metrics_page"]

_MHZ = 1e6


async def metrics_page(telemetry: Telemetry, started: float) -> str:
    """All metrics as text; ``started`` is when the server did, in seconds since the epoch."""
    health = await telemetry.health.refresh()
    telemetry.admission.throttle(telemetry.health.is_throttled)
    parts = [telemetry.metrics.text(), *_admission(telemetry), *_machine(health), *_process(started)]
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


def _machine(health: Health) -> Iterator[str]:
    available = available_memory_bytes()
    if available is not None:
        yield _gauge("edgellm_memory_available_bytes", "Memory that programs may still take here.", available)
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


def _by_model(name: str, about: str, values: dict[str, int]) -> str:
    samples: list[Sample] = [("", ("model",), (model,), value) for model, value in values.items()]
    return family(name, "gauge", about, samples)
