"""Gauges, rates and memory as the terminal shows them."""

from __future__ import annotations

from typing import Any

import pytest

from edgellm.api.models import LoadStatus, ModelStatus, Room
from edgellm.api.watching import Gauges, ModelCounters, Statistics
from edgellm.devices.health import Health
from edgellm.tui.models.bars import bar, curve
from edgellm.tui.models.gauge_rows import core_rows, gauge_rows, health_rows
from edgellm.tui.models.memory_rows import memory_rows, room_text
from edgellm.tui.models.rates import ActivityHistory
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

GIB = 1 << 30


def gauges(**fields: Any) -> Gauges:
    known: dict[str, Any] = dict.fromkeys(Gauges.__struct_fields__)
    return Gauges(**known | {"time": 0.0, "cores_percent": (), "health": Health()} | fields)


def status(**fields: Any) -> ModelStatus:
    known = {"name": "tiny:a", "names": ("tiny:a",), "digest": "sha256:1", "state": "ready"}
    return ModelStatus(**{**known, "pinned": False, "requests": 0, **fields})


def statistics(time_s: float, *models: ModelCounters, uptime_s: float | None = None, room: Room | None = None) -> Any:
    room = room or Room(4 * GIB, 3 * GIB, 64 << 20)
    return Statistics(time_s, time_s if uptime_s is None else uptime_s, room, models, gauges())


def counted(made: int, read: int = 0, requests: int = 0, **counters: int) -> ModelCounters:
    told = SchedulerStatistics(generated_tokens=made, prompt_tokens=read, steps=made, **counters)
    return ModelCounters(status(requests=requests), told)


def test_a_device_that_tells_nothing_is_all_unknown() -> None:
    rows = [*gauge_rows(gauges()), *health_rows(Health())]
    assert {row.name: row.text for row in rows} == dict.fromkeys(
        ("Memory", "Swap", "Disk", "Load", "Heat", "Throttled", "Low voltage", "Clock"), "n/a"
    )
    assert all(row.share is None for row in rows)
    assert core_rows(gauges()) == []


def test_gauges_say_how_full_things_are_and_when_that_is_too_much() -> None:
    full = gauges(
        memory_total_bytes=8 * GIB,
        memory_available_bytes=GIB // 4,
        swap_total_bytes=2 * GIB,
        swap_used_bytes=GIB,
        disk_total_bytes=100 * GIB,
        disk_free_bytes=10 * GIB,
        load_percent=50.0,
        load_average=(1.0, 2.0, 3.04),
        cores_percent=(100.0, 0.0),
    )
    memory, swap, disk, load = gauge_rows(full)
    assert (memory.text, memory.tone) == ("256 MiB of 8.0 GiB free", "bad")
    assert (swap.text, swap.share, swap.tone) == ("1.0 GiB of 2.0 GiB used", 0.5, "good")
    assert (disk.text, disk.tone) == ("10.0 GiB of 100 GiB free", "warning")
    assert (load.text, load.share) == ("50 %, average 1.0 2.0 3.0", 0.5)
    assert core_rows(full) == [(0, 1.0), (1, 0.0)]


def test_a_device_without_swap_says_so() -> None:
    assert gauge_rows(gauges(swap_total_bytes=0, swap_used_bytes=0))[1].text == "none"


def test_the_limit_of_a_container_is_what_counts() -> None:
    memory = gauge_rows(gauges(memory_total_bytes=8 * GIB, memory_limit_bytes=2 * GIB, memory_available_bytes=5 * GIB))[
        0
    ]
    assert memory.text == "2.0 GiB of 2.0 GiB free (a limit of its container)"


@pytest.mark.parametrize(
    ("now", "since", "text", "tone"),
    [
        (True, True, "yes", "bad"),
        (False, True, "not now, but since the start of the device", "warning"),
        (False, False, "no", "good"),
        (False, None, "no", "good"),
        (None, None, "n/a", "plain"),
    ],
)
def test_throttling_and_low_voltage(now: bool | None, since: bool | None, text: str, tone: str) -> None:
    health = Health(
        throttled_now=now, throttled_since_boot=since, under_voltage_now=now, under_voltage_since_boot=since
    )
    _, throttled, voltage, _ = health_rows(health)
    assert (throttled.text, throttled.tone) == (voltage.text, voltage.tone) == (text, tone)


def test_heat_and_clock() -> None:
    heat, _, _, clock = health_rows(Health(temperature_c=83.2, clock_mhz=1500, clock_highest_mhz=2400))
    assert (heat.text, heat.tone) == ("83 °C", "bad")
    assert clock.text == "1500 of 2400 MHz"
    capped = health_rows(Health(clock_mhz=1500, frequency_capped_now=True))[3]
    assert (capped.text, capped.tone) == ("1500 MHz, held down by the firmware", "bad")


def test_rates_are_what_grew_between_two_moments() -> None:
    history = ActivityHistory()
    assert history.take(statistics(0.0, counted(100, 50))).decoded_per_s is None
    rates = history.take(statistics(2.0, counted(120, 90, requests=3, running=1, waiting=1)))
    assert (rates.decoded_per_s, rates.prefilled_per_s, rates.running, rates.waiting) == (10, 20, 1, 2)
    assert history.decoded == [None, 10]
    assert history.queued == [0, 3]
    assert history.model_rate("sha256:1") == 10


def test_a_worker_that_began_anew_counts_from_nothing() -> None:
    history = ActivityHistory()
    history.take(statistics(0.0, counted(1000, 1000)))
    rates = history.take(statistics(1.0, counted(7, 5)))
    assert (rates.decoded_per_s, rates.prefilled_per_s) == (7, 5)


def test_after_a_pause_or_another_server_nothing_is_known_about_the_time_between() -> None:
    history = ActivityHistory()
    history.take(statistics(0.0, counted(100)))
    assert history.take(statistics(60.0, counted(900))).decoded_per_s is None
    assert history.take(statistics(61.0, counted(910))).decoded_per_s == 10
    assert history.take(statistics(62.0, counted(920), uptime_s=1.0)).decoded_per_s is None


def test_a_model_without_counters_makes_nothing() -> None:
    history = ActivityHistory()
    for moment in (0.0, 1.0):
        rates = history.take(statistics(moment, ModelCounters(status(state="loading", requests=2), None)))
    assert (rates.decoded_per_s, rates.waiting) == (0, 2)


def test_memory_of_models_the_largest_first() -> None:
    told = statistics(
        0.0,
        ModelCounters(status(name="small:a", needed_bytes=GIB, used_bytes=GIB // 2, expires_in_s=62.0), None),
        ModelCounters(status(name="large:a", needed_bytes=3 * GIB, pinned=True, isolation="process"), None),
        ModelCounters(status(name="new:a", state="loading", progress=LoadStatus("reading", 30, 100, 1.0)), None),
        ModelCounters(status(name="lost:a", state="restarting", isolation="worker"), None),
    )
    rows = {row.name: row for row in memory_rows(told, ActivityHistory())}
    assert list(rows) == ["large:a", "small:a", "lost:a", "new:a"]
    assert (rows["large:a"].used, rows["large:a"].needed, rows["large:a"].stays) == (
        "in the server",
        "3.0 GiB",
        "pinned",
    )
    assert (rows["small:a"].used, rows["small:a"].stays) == ("512 MiB", "1:02 min")
    assert (rows["new:a"].state, rows["new:a"].used, rows["new:a"].stays) == ("reading 30 %", "n/a", "-")
    assert rows["lost:a"].tone == "bad"
    assert room_text(told) == "models may take 4.0 GiB together, 3.0 GiB left for another one"
    crowded = statistics(0.0, room=Room(4 * GIB, -5, 64 << 20))
    assert room_text(crowded) == "models may take 4.0 GiB together, nothing left for another one"
    assert room_text(statistics(0.0, room=Room(1 << 62, GIB, 0))) == "1.0 GiB left for another model"


def test_bars_are_exact_to_an_eighth_of_a_cell() -> None:
    assert bar(0.0, 4) == "    "
    assert bar(1.0, 4) == "████"
    assert bar(0.5, 4) == "██  "
    assert bar(0.3125, 2) == "▋ "
    assert bar(-1.0, 2) == "  "
    assert bar(7.0, 2) == "██"


def test_curves_show_gaps_small_values_and_the_newest_last() -> None:
    assert curve([], 3) == "   "
    assert curve([None, 0.0, 0.01, 4.0, 8.0], 5) == " ▁▂▄█"
    assert curve([1.0, 2.0, 4.0], 2) == "▄█"
    assert curve([5.0], 3, top=10.0) == "  ▄"
    assert curve([20.0], 1, top=10.0) == "█"
