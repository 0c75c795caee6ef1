"""Find a device profile: by id, by alias, by the path of a TOML file, or ``local`` for this machine."""

from __future__ import annotations

import difflib
import hashlib
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.profile import Profile, decode_profile
from edgellm.errors import NotFoundError, ProfileError, UsageError
from edgellm.files import read_small_file
from edgellm.toml import LIMIT_BYTES, parse_toml
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.devices.calibration import Calibration

__all__ = [
    "LOCAL",
    "LoadedProfile",
    "list_profiles",
    "load_profile",
    "loaded_profile",
    "profile_digest",
    "profiles_folder",
    "read_profile",
]

LOCAL = "local"


class LoadedProfile(msgspec.Struct, frozen=True):
    """A profile as it will be used."""

    profile: Profile
    digest: str  # sha256:... of the canonical JSON of ``profile``, memory override included
    assumption: str | None = None  # what an alias or an odd memory size takes for granted: show it
    is_here: bool = False  # it is the machine that this program runs on


def load_profile(reference: str, memory: int | None = None, calibration: Calibration | None = None) -> LoadedProfile:
    """The profile that ``reference`` names; ``memory`` (bytes) replaces its size, ``calibration`` its estimates.

    Raises NotFoundError with near matches, ProfileError for a file that is not a valid profile.
    """
    profile, assumptions = _find(reference), []
    if memory is None:
        said = profile.assumption.get(reference.lower())
        if said:
            assumptions.append(said)
    else:
        sold = profile.memory.sold_bytes
        if reference != LOCAL and memory not in sold:
            sizes = ", ".join(profile.memory.sizes)
            assumptions.append(f"{profile.name} is sold with {sizes}; planning for {format_bytes(memory)} as asked")
    return loaded_profile(profile, memory, calibration, "; ".join(assumptions) or None)


def loaded_profile(
    profile: Profile, memory: int | None, calibration: Calibration | None, assumption: str | None = None
) -> LoadedProfile:
    """``profile`` with another memory size and what was measured, where they are given. Raises ProfileError."""
    if memory is not None:
        profile = _with_memory(profile, memory)
    if calibration is not None:
        from edgellm.devices.calibration import apply_calibration

        profile = apply_calibration(profile, calibration)
    return LoadedProfile(profile, profile_digest(profile), assumption)


def list_profiles() -> list[Profile]:
    """All profiles that ship with edgellm, by id."""
    return list(_shipped().values())


def read_profile(path: Path) -> Profile:
    """Read and validate one TOML file."""
    try:
        data = read_small_file(path, LIMIT_BYTES, "the device profile")
    except UsageError as error:
        raise ProfileError(error.message, hint="give the path of a TOML file") from None
    return parse_profile(data, str(path))


def parse_profile(data: bytes, name: str) -> Profile:
    """Validate the TOML text ``data``; ``name`` is what errors call it. Raises ProfileError."""
    hint = "docs/reference/profile-schema.json has all fields and their allowed values"
    try:
        return decode_profile(parse_toml(data, f"the device profile {name}"))
    except UsageError as error:
        raise ProfileError(error.message, hint=hint) from None
    except msgspec.ValidationError as error:
        raise ProfileError(f"the device profile {name} is not valid: {_explain(error)}", hint=hint) from None


def profile_digest(profile: Profile) -> str:
    """``sha256:...`` of the canonical JSON of ``profile``."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(profile, order="deterministic")).hexdigest()


def profiles_folder() -> Path:
    """Where the shipped profiles lie: the checkout of an editable install, or package data."""
    checkout = Path(__file__).resolve().parents[3] / "device_profiles"
    if checkout.is_dir():
        return checkout
    packaged = Path(str(resources.files("edgellm"))) / "device_profiles"
    if packaged.is_dir():
        return packaged
    raise NotFoundError("the device profiles are missing from this installation", hint="install edgellm again")


def _find(reference: str) -> Profile:
    if reference == LOCAL:
        from edgellm.devices.local import detect_local

        return detect_local()
    if reference.endswith(".toml") or "/" in reference:
        return read_profile(Path(reference))
    wanted = reference.lower()
    shipped = _shipped()
    if wanted in shipped:
        return shipped[wanted]
    names = {alias: profile for profile in shipped.values() for alias in profile.aliases}
    if wanted in names:
        return names[wanted]
    near = difflib.get_close_matches(wanted, [*shipped, *names], n=3, cutoff=0.5)
    hint = "`edgellm devices list` shows all; a path to a TOML file works too, and `local` is this machine"
    if near:
        hint = f"did you mean {' or '.join(near)}? {hint}"
    raise NotFoundError(f"there is no device profile {reference!r}", hint=hint)


@cache
def _shipped() -> dict[str, Profile]:
    profiles = [read_profile(path) for path in sorted(profiles_folder().glob("*.toml"))]
    return {profile.id: profile for profile in profiles}


def _with_memory(profile: Profile, memory_bytes: int) -> Profile:
    text = next(
        (s for s, n in zip(profile.memory.sizes, profile.memory.sold_bytes, strict=True) if n == memory_bytes), ""
    )
    try:
        memory = msgspec.structs.replace(profile.memory, default_size=text or _size_text(memory_bytes))
        memory.__post_init__()
    except ValueError as error:
        raise ProfileError(f"{format_bytes(memory_bytes)} cannot be planned for: {error}") from None
    return msgspec.structs.replace(profile, memory=memory)


def _size_text(size_bytes: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)


def _explain(error: msgspec.ValidationError) -> str:
    """msgspec's message with the TOML path in front: ``cpu.arch: invalid enum value 'arm'``."""
    text = str(error)
    found = re.search(r" - at `\$\.?(.*)`$", text)
    if found is None:
        return text
    return f"{found.group(1) or 'the file'}: {text[: found.start()]}"
