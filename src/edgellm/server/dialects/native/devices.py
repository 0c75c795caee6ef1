"""GET /api/edgellm/devices: this machine, and the profiles of others."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.devices import DeviceList, DeviceRow
from edgellm.devices.load import list_profiles
from edgellm.devices.profile import Profile
from edgellm.errors import EdgeLLMError
from edgellm.machine import load_for_machine
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of
from edgellm.settings import SettingsWithOrigin

__all__ = ["devices"]


@operation(answer=DeviceList)
async def devices(request: Request) -> Response:
    """This machine and every device profile: what `fit`, `pull` and `pack` take for a device."""
    return JSONResponse(await asyncio.to_thread(_devices, state_of(request).settings))


def _devices(settings: SettingsWithOrigin) -> DeviceList:
    try:
        here = _row(load_for_machine(settings.values.device, None, settings, None).profile)
    except EdgeLLMError:  # a setting that names no device, or an operating system that tells nothing
        here = None
    return DeviceList(here, [_row(profile) for profile in list_profiles()])


def _row(profile: Profile) -> DeviceRow:
    return DeviceRow(
        id=profile.id,
        name=profile.name,
        memory_bytes=profile.memory.size_bytes,
        sizes=list(profile.memory.sizes),
        support=profile.support,
        aliases=list(profile.aliases),
    )
