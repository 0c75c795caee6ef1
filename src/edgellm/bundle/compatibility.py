"""Format versions: newer formats are refused with the version of edgellm that they need."""

from __future__ import annotations

import re

from edgellm.errors import BundleError, UnsupportedError
from edgellm.pip import pip_install
from edgellm.version import __version__

__all__ = ["require_version", "version_key"]

_VERSION = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?(?:\.?(?:dev|a|b|rc|post)\d*)?(?:\+[a-z0-9.]+)?")


def version_key(text: str, what: str) -> tuple[int, int, int]:
    """``0.1`` as (0, 1, 0), to be compared. A pre-release counts as its release. Raises BundleError."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise BundleError(f"{what} names {text[:40]!r} as a version of edgellm")
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def require_version(what: str, *, format_version: int, known: int, minimum: str, running: str = __version__) -> None:
    """Raise UnsupportedError unless this edgellm may read a thing of ``format_version`` that asks for ``minimum``."""
    if minimum and version_key(minimum, what) > version_key(running, what):
        reason = f"needs edgellm >= {minimum}"
    elif format_version > known:
        reason = f"has format {format_version} (known here: {known}) and needs edgellm >= {minimum or 'its writer'}"
    else:
        return
    raise UnsupportedError(
        f"{what} {reason}; this is edgellm {running}", hint=f"upgrade: {pip_install('--upgrade edgellm')}"
    )
