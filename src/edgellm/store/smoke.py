"""Results of smoke tests, by the digest of the bundle: what this machine measured, kept beside the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgellm.bundle.canonical import canonical_json, decode_json
from edgellm.bundle.digest import check_digest, digest_hex
from edgellm.errors import BundleError
from edgellm.files import os_errors, write_atomic

__all__ = ["SmokeResults"]

_KEPT_S = 3600.0


class SmokeResults:
    """One JSON object for each bundle, in ``<state>/smoke/<hex>.json``."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "smoke"

    def save(self, digest: str, result: Mapping[str, Any]) -> None:
        """Keep ``result`` (JSON values) for the bundle ``digest``, in place of an older one."""
        path = self._path(digest)
        with os_errors(f"write {path}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, canonical_json(dict(result)))

    def load(self, digest: str) -> dict[str, Any] | None:
        """The kept result; None when there is none, or none that can be read (the next smoke test writes it anew)."""
        path = self._path(digest)
        with os_errors(f"read {path}"):
            if not path.is_file():
                return None
            data = path.read_bytes()
        try:
            return decode_json(data, dict[str, Any], str(path))
        except BundleError:
            return None

    def keep_only(self, digests: set[str]) -> None:
        """Remove the results of bundles that are gone, and what a killed process left half written."""
        wanted = {f"{digest_hex(digest)}.json" for digest in digests}
        with os_errors(f"clean {self._folder}"):
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                # A pack saves its result just after its commit: what is new belongs to one that is running.
                if path.name not in wanted and path.suffix in (".json", ".tmp") and _is_old(path):
                    path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest_hex(check_digest(digest, 'a smoke result'))}.json"


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _KEPT_S
    except FileNotFoundError:
        return False
