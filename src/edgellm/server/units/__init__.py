"""systemd's files for a server: templates beside this one, filled in with where this installation lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from edgellm.errors import UsageError

__all__ = ["UNITS", "unit_text"]

UNITS = {
    "service": "edgellm.service",
    "socket": "edgellm.socket",
    "sysusers": "edgellm.sysusers.conf",
    "user-service": "edgellm.user.service",
}
"""What each is called -> its file in the package."""


def unit_text(name: str, command: Sequence[str], listen: str) -> str:
    """The text of one of ``UNITS``. ``command`` is what the service runs, ``listen`` the address of the socket unit.

    Raises UsageError for another name, and for what no unit can hold.
    """
    if name not in UNITS:
        raise UsageError(f"there is no systemd file {name[:80]!r}", hint=f"there are: {', '.join(UNITS)}")
    template = files("edgellm.server.units").joinpath(UNITS[name]).read_text(encoding="utf-8")
    values = {"@command@": " ".join(map(_quoted, command)), "@listen@": _plain(listen)}
    return re.sub("|".join(values), lambda found: values[found[0]], template)


def _quoted(word: str) -> str:
    """``word`` as systemd reads it back (systemd.service(5), "Command lines")."""
    escaped = _plain(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not word or any(letter in word for letter in " \t'\"\\;") else escaped


def _plain(text: str) -> str:
    if not text.isprintable():
        raise UsageError(f"a unit cannot hold {text[:80]!r}")
    return text
