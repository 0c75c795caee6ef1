"""Canonical JSON: the same value always gives the same bytes, and reading never raises anything but BundleError."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from edgellm.errors import BundleError

__all__ = ["JSON_LIMIT_BYTES", "canonical_json", "decode_json"]

T = TypeVar("T")

# OCI registries refuse larger manifests; no JSON document of a bundle comes near it.
JSON_LIMIT_BYTES = 4 << 20


def canonical_json(value: Any) -> bytes:
    """``value`` (msgspec structs, dicts, lists) as UTF-8 JSON with sorted keys and no white space."""
    return msgspec.json.encode(value, order="sorted")


def decode_json(data: bytes, kind: type[T], what: str) -> T:
    """Read ``data`` as ``kind``; unknown fields are ignored. Raises BundleError naming ``what``."""
    if len(data) > JSON_LIMIT_BYTES:
        raise BundleError(f"{what} has {len(data)} bytes; more than {JSON_LIMIT_BYTES} are not accepted")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{what} is not valid: {str(error)[:300]}") from error
    except (RecursionError, UnicodeDecodeError) as error:
        raise BundleError(f"{what} is not valid JSON ({type(error).__name__})") from error
