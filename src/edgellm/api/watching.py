"""What can be seen of a server and its device while it runs. What nobody can tell is None."""

from __future__ import annotations

import msgspec

from edgellm.api.models import ModelStatus, Room
from edgellm.devices.health import Health
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

__all__ = ["Gauges", "ModelCounters", "SettingOrigin", "Statistics"]


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """The device at one moment; None where nobody can tell."""

    time: float  # seconds since the epoch
    board: str | None  # what the machine calls itself
    memory_total_bytes: int | None
    memory_limit_bytes: int | None  # of the container or the service around this server
    memory_available_bytes: int | None
    swap_total_bytes: int | None
    swap_used_bytes: int | None
    load_percent: float | None  # of all cores, since the reading before
    cores_percent: tuple[float, ...]  # of each core; empty where nobody can tell
    load_average: tuple[float, float, float] | None  # 1, 5 and 15 minutes
    health: Health
    disk_total_bytes: int | None  # of the disk that the store is on
    disk_free_bytes: int | None


class ModelCounters(msgspec.Struct, frozen=True):
    """One model with the counters of its scheduler, which begin anew when its worker does; None while it is down."""

    status: ModelStatus
    counters: SchedulerStatistics | None


class Statistics(msgspec.Struct, frozen=True):
    """Everything at one moment."""

    time: float  # seconds since the epoch
    uptime_s: float
    memory: Room  # of models
    models: tuple[ModelCounters, ...]
    device: Gauges


class SettingOrigin(msgspec.Struct, frozen=True):
    """A setting in force, and the flag, variable, file or default that it comes from."""

    value: str | float | bool | None
    origin: str
