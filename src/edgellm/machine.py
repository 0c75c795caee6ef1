"""This machine as everything plans for it: its profile, with what was measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import UnsupportedError

if TYPE_CHECKING:
    from edgellm.devices.calibration import Calibration
    from edgellm.devices.detect import Detection
    from edgellm.devices.load import LoadedProfile
    from edgellm.progress import Progress
    from edgellm.settings import SettingsWithOrigin

__all__ = ["detected", "load_for_machine", "this_device_id"]


def detected(settings: SettingsWithOrigin) -> Detection | None:
    """What this machine is; None where nothing can be read, as on another operating system."""
    from edgellm.devices.detect import detect_device

    try:
        return detect_device(folder=settings.paths.store)
    except UnsupportedError:
        return None


def this_device_id(settings: SettingsWithOrigin) -> str:
    """The profile id that a name without a tag prefers: the configured device, else this machine's profile."""
    if settings.values.device is not None:
        from edgellm.devices.load import load_profile

        return load_profile(settings.values.device).profile.id
    found = detected(settings)
    return "local" if found is None else found.profile.id


def load_for_machine(
    reference: str | None, memory: int | None, settings: SettingsWithOrigin, progress: Progress | None
) -> LoadedProfile:
    """The profile that ``reference`` names, None being this machine; with this machine's facts where it is its own."""
    from edgellm.devices.load import LOCAL, load_profile, loaded_profile

    here = detected(settings)
    if here is None:
        return load_profile(reference or LOCAL, memory)
    if reference == LOCAL or (reference is None and here.match is None):
        return _marked(loaded_profile(here.local, memory, _calibration(settings, progress)))
    if reference is not None:
        named = load_profile(reference, memory)
        if here.match is None or named.profile.id != here.match.id:
            return named
    assert here.match is not None
    profile = here.match
    said = f"{here.board.model}: planned as {profile.id} with this machine's memory"
    if memory is not None:  # another board of the same kind: the rule for its size, not this machine's remainder
        profile = msgspec.structs.replace(profile, memory=load_profile(profile.id).profile.memory)
        said = f"{here.board.model}: planned as {profile.id}"
    return _marked(loaded_profile(profile, memory, _calibration(settings, progress), said))


def _marked(loaded: LoadedProfile) -> LoadedProfile:
    return msgspec.structs.replace(loaded, is_here=True)


def _calibration(settings: SettingsWithOrigin, progress: Progress | None) -> Calibration | None:
    from edgellm.devices.calibration import read_calibration

    return read_calibration(settings.paths.state, progress=progress)
