"""Continuous batching over any backend."""

from typing import TYPE_CHECKING, Any

from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

if TYPE_CHECKING:
    from edgellm_runtimes.scheduler.scheduler import Scheduler

__all__ = ["Scheduler", "SchedulerStatistics"]


def __getattr__(name: str) -> Any:
    """The scheduler itself is imported where a model runs: a server whose workers do that knows its numbers alone."""
    if name != "Scheduler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgellm_runtimes.scheduler.scheduler import Scheduler

    return Scheduler
