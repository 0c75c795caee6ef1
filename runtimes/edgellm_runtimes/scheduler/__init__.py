"""Continuous batching over any backend."""

from edgellm_runtimes.scheduler.scheduler import Scheduler
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

__all__ = ["Scheduler", "SchedulerStatistics"]
