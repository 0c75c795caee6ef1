"""What a server says in the pictures of watching."""

from __future__ import annotations

from typing import Any

from recorded import NOW_S
from textual.pilot import Pilot
from tui_rig import text_of, wait_until

from edgellm.api.jobs import Job, JobChanges, JobError, JobPhase
from edgellm.api.log import LogLine
from edgellm.api.models import LoadStatus, ModelStatus, Room
from edgellm.api.orders import ExportOrder, Order, PackOrder, PullOrder, VerifyOrder
from edgellm.api.watching import Gauges, ModelCounters, SettingOrigin, Statistics
from edgellm.devices.health import Health
from edgellm.tui.screens.device import DeviceScreen
from edgellm.tui.widgets.keyed_table import KeyedTable
from edgellm.tui.widgets.log_view import LogView
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

__all__ = [
    "BUSY_LOG",
    "DEVICE",
    "JOBS",
    "LOG",
    "SETTING",
    "SETTINGS",
    "busy_jobs",
    "busy_statistics",
    "idle_statistics",
    "running_job",
    "shown",
]

JOBS, DEVICE = "/api/edgellm/jobs/stream", "/api/edgellm/statistics/stream"
LOG, SETTING = "/api/edgellm/log/stream", "/api/edgellm/settings"
MIB, GIB = 1 << 20, 1 << 30


def _job(number: int, order: Order, **fields: Any) -> Job:
    return Job(id=f"20261126-1100{number:02d}-aa{number:04x}", order=order, created=NOW_S - 3600 + number, **fields)


def running_job(done_mib: int) -> Job:
    """A download of 1205 MiB, of which so much is done."""
    return _job(
        6,
        PullOrder(model="acme/helper-1.7b-GGUF:Q4_K_M"),
        state="running",
        started=NOW_S - 95,
        attempts=1,
        phase="downloading",
        phase_started=NOW_S - 90,
        done_bytes=done_mib * MIB,
        total_bytes=1205 * MIB,
        phases=[JobPhase("reading headers", NOW_S - 95, NOW_S - 90, 3 * MIB)],
        digest="sha256:" + "0123456789abcdef" * 4,
        messages=["helper-1.7b: Q4_K_M fits raspberrypi5 with 4096 tokens of context"],
    )


def busy_jobs(done_mib: int = 300) -> JobChanges:
    """One job of every state; the one that runs has done ``done_mib`` of 1205 MiB."""
    gone = NOW_S - 86400
    return JobChanges(
        [
            _job(1, VerifyOrder(), state="done", started=gone - 61, ended=gone, attempts=1, result={"bundles": 3}),
            _job(
                2,
                PullOrder(model="acme/large-9b-GGUF", quant="Q8_0"),
                state="failed",
                started=NOW_S - 900,
                ended=NOW_S - 840,
                attempts=1,
                phase="reading headers",
                phases=[JobPhase("reading headers", NOW_S - 900, NOW_S - 840, 5 * MIB)],
                error=JobError(
                    "DoesNotFitError",
                    "large-9b needs 10.1 GiB with Q8_0, this device has 7.1 GiB",
                    "try --quant Q4_K_M, --context 2048, or --force",
                ),
            ),
            _job(3, PullOrder(model="acme/old"), state="cancelled", started=gone, ended=gone + 5, phase="downloading"),
            _job(4, PackOrder(model="acme/x", devices=["raspberrypi4"]), state="interrupted", started=gone, ended=gone),
            _job(5, ExportOrder(names=["tiny:a", "tiny:b"]), state="done", started=gone, ended=gone + 2, attempts=1),
            running_job(done_mib),
            _job(7, VerifyOrder(name="tiny:raspberrypi5-q4_k_m")),
        ],
        is_whole=True,
    )


def _gauges(**fields: Any) -> Gauges:
    known: dict[str, Any] = dict.fromkeys(Gauges.__struct_fields__)
    return Gauges(**known | {"time": NOW_S, "cores_percent": (), "health": Health()} | fields)


def idle_statistics() -> list[Statistics]:
    """A machine that tells little, with nothing in memory."""
    room = Room(7 * GIB, 7 * GIB, 64 * MIB)
    memory = {"memory_total_bytes": 8 * GIB, "memory_available_bytes": 7 * GIB + 300 * MIB}
    return [Statistics(NOW_S, 12.0, room, (), _gauges(**memory, swap_total_bytes=0, swap_used_bytes=0))]


def busy_statistics() -> list[Statistics]:
    """Twenty seconds of a Raspberry Pi that has too much to do."""
    return [_busy_moment(second) for second in range(20)]


def _busy_moment(second: int) -> Statistics:
    made = sum((3 + tick * 7 % 5) for tick in range(second + 1))
    counters = SchedulerStatistics(
        generated_tokens=made,
        prompt_tokens=900 * (second // 8),
        steps=made,
        running=1 + second % 3,
        waiting=second // 6,
    )
    models = (
        ModelCounters(
            ModelStatus(
                name="helper-1.7b:raspberrypi5-q4_k_m",
                names=("helper-1.7b:raspberrypi5-q4_k_m",),
                digest="sha256:1",
                state="ready",
                pinned=True,
                requests=4,
                needed_bytes=1700 * MIB,
                used_bytes=1500 * MIB,
                context=4096,
                isolation="worker",
            ),
            counters,
        ),
        ModelCounters(
            ModelStatus(
                name="tiny:a",
                names=("tiny:a",),
                digest="sha256:2",
                state="loading",
                pinned=False,
                requests=1,
                progress=LoadStatus("reading", 30, 100, 2.0),
            ),
            None,
        ),
    )
    return Statistics(
        NOW_S + second,
        7384.0 + second,
        Room(7 * GIB, 5 * GIB, 64 * MIB),
        models,
        _gauges(
            board="Raspberry Pi 5 Model B Rev 1.0",
            memory_total_bytes=8 * GIB,
            memory_available_bytes=1 * GIB,
            swap_total_bytes=2 * GIB,
            swap_used_bytes=300 * MIB,
            load_percent=88.0,
            cores_percent=(100.0, 91.0, 75.5, 12.0),
            load_average=(3.52, 2.91, 1.0),
            disk_total_bytes=116 * GIB,
            disk_free_bytes=9 * GIB,
            health=Health(
                temperature_c=81.6,
                throttled_now=True,
                throttled_since_boot=True,
                under_voltage_now=False,
                under_voltage_since_boot=True,
                clock_mhz=1500,
                clock_highest_mhz=2400,
            ),
        ),
    )


def _line(number: int, message: str, level: str = "info", logger: str = "edgellm.server", **fields: Any) -> LogLine:
    return LogLine(number, NOW_S - 600 + number, level, logger, message, **fields)


BUSY_LOG = [
    _line(1, "helper-1.7b:raspberrypi5-q4_k_m loaded in 3.10 s: context 4096, 4 answers at a time"),
    *(
        _line(number, f"req-{number:04d} POST /v1/chat/completions 200 in 1.204 s", logger="edgellm.access")
        for number in range(2, 30)
    ),
    _line(30, "this machine slows itself down at 82 °C: fewer answers are computed at once until it stops", "warning"),
    _line(
        41,
        "internal error in a job",
        "error",
        traceback='Traceback (most recent call last):\n  File "runner.py", line 7, in _work\nError: [red]no\x1b[2J',
    ),
    _line(42, "a name that is long enough to be wrapped: " + "raspberrypi5-q4_k_m " * 9),
]

SETTINGS = {
    "store": SettingOrigin("/home/me/.local/share/edgellm/store", "default"),
    "state": SettingOrigin("/home/me/.local/state/edgellm", "default"),
    "device": SettingOrigin("raspberrypi5", "/home/me/.config/edgellm/config.toml"),
    "min_speed": SettingOrigin(5.0, "default"),
    "threads": SettingOrigin(3, "EDGELLM_THREADS"),
    "memory_budget": SettingOrigin("2.0 GiB", "--memory-budget"),
    "keep_alive": SettingOrigin("5m", "default"),
    "host": SettingOrigin("127.0.0.1", "default"),
    "port": SettingOrigin(8080, "--port"),
    "config_folder": SettingOrigin("/home/me/.config/edgellm", "default"),
    "cache_folder": SettingOrigin("/home/me/.cache/edgellm", "default"),
}


async def shown(pilot: Pilot[None]) -> None:
    """Wait until everything that was recorded is on the screen."""
    app = pilot.app
    connection = app.connection  # type: ignore[attr-defined]
    await wait_until(pilot, lambda: connection.is_connected and connection.asked, "asking")
    match app.current_mode:
        case "jobs":
            rows = len(connection.answers[JOBS][0].jobs)
            await wait_until(pilot, lambda: app.screen.query_one(KeyedTable).row_count == rows, "the jobs")
            await wait_until(pilot, lambda: not rows or "MiB/s" in text_of(app), "the speed")
        case "device":
            screen, last = app.screen, connection.answers[DEVICE][-1]
            assert isinstance(screen, DeviceScreen)
            await wait_until(pilot, lambda: screen.statistics == last, "the last moment")
        case "logs":
            lines = len(connection.answers[LOG])
            await wait_until(pilot, lambda: app.screen.query_one(LogView).n_lines == lines, "the lines")
        case "settings":
            await wait_until(pilot, lambda: app.screen.query_one(KeyedTable).row_count, "the settings")
            await wait_until(pilot, lambda: "A flag counts" in text_of(app), "how it is changed")
