"""How models are kept, from the command line and the settings."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgellm.server.config import ServerConfig
from edgellm.settings import SettingsWithOrigin
from edgellm.units import parse_bytes, parse_duration_s

__all__ = ["ModelPolicy", "model_policy"]


class ModelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the model manager goes by."""

    budget_bytes: int | None  # of the server with its models; None: what is free
    parallel: int  # answers of one model at the same time; 0: what suits the memory
    keep_alive_s: float  # after the last request; below 0 for ever
    isolation: Literal["worker", "process"]
    cache_chats: bool = False  # conversations are kept on the disk


def model_policy(config: ServerConfig, settings: SettingsWithOrigin) -> ModelPolicy:
    """What is given to the server, else the settings. Raises UsageError for a size or a duration that is none."""
    values = settings.values
    budget = config.memory_budget_bytes
    if budget is None and values.memory_budget:
        budget = parse_bytes(values.memory_budget)
    isolation = config.isolation or values.isolation
    return ModelPolicy(
        budget_bytes=budget,
        parallel=values.parallel if config.parallel is None else config.parallel,
        keep_alive_s=parse_duration_s(values.keep_alive) if config.keep_alive_s is None else config.keep_alive_s,
        isolation=_of_this_machine() if isolation == "auto" else isolation,
        cache_chats=values.cache_chats,
    )


def _of_this_machine() -> Literal["worker", "process"]:
    """A worker costs an interpreter's memory: the smallest boards do without."""
    from edgellm.devices.local import detect_local
    from edgellm.errors import UnsupportedError

    try:
        return "process" if detect_local().policy.isolation == "in-process" else "worker"
    except UnsupportedError:  # nothing is known about this machine
        return "worker"
