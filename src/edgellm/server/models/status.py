"""What is told about a model that is loaded, or on its way."""

from __future__ import annotations

import asyncio
import time

from edgellm.api.models import ModelStatus
from edgellm.server.http.concealing import Concealer
from edgellm.server.models.footprint import process_bytes
from edgellm.server.models.loader import Load
from edgellm.server.models.pins import Pins
from edgellm.server.models.resident import Resident

__all__ = ["loading_status", "resident_status"]


async def resident_status(resident: Resident, pins: Pins, conceal: Concealer) -> ModelStatus:
    """The status of a model that takes memory."""
    engine, info = resident.engine.status(), resident.engine.info
    used = None
    if engine.isolation == "worker" and engine.pid is not None:
        used = await asyncio.to_thread(process_bytes, engine.pid)
    timer, now = resident.timer, time.monotonic()
    restarting = resident.state == "ready" and engine.state in ("loading", "stopped")
    return ModelStatus(
        name=resident.bundle.name,
        names=tuple(sorted(resident.names)),
        digest=resident.digest,
        state="restarting" if restarting else resident.state,
        pinned=any(name in pins for name in resident.names),
        requests=resident.users,
        weights_bytes=info.size_bytes,
        needed_bytes=resident.needed_bytes,
        used_bytes=used,
        context=info.context,
        sequences=info.sequences,
        keep_alive_s=resident.keep_alive_s,
        expires_in_s=None if timer is None else max(0.0, timer.when() - asyncio.get_running_loop().time()),
        idle_s=None if resident.users else now - resident.last_used,
        load_s=info.load_s,
        isolation=engine.isolation,
        pid=engine.pid,
        starts=engine.starts,
        last_error=None if engine.last_error is None else conceal.text(engine.last_error),
        silent_s=engine.silent_s,
    )


def loading_status(load: Load, pins: Pins) -> ModelStatus:
    """The status of a model that is not there yet."""
    return ModelStatus(
        name=load.bundle.name,
        names=tuple(sorted(load.names)),
        digest=load.bundle.digest,
        state="loading",
        pinned=any(name in pins for name in load.names),
        requests=load.waiters,
        context=load.context,
        progress=load.status(),
    )
