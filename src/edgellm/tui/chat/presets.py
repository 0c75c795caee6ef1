"""Sets of parameters with a name: ours, and those that a user saved."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.files import os_errors, read_small_file, write_atomic
from edgellm.tui.chat.parameters import sampling_for_server

__all__ = ["BUILT_IN", "Presets"]

BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "model": {},  # as the model recommends itself
    "exact": {"temperature": 0.0},
    "focused": {"temperature": 0.3, "top_p": 0.9},
    "creative": {"temperature": 1.1, "top_k": 0, "top_p": 1.0, "min_p": 0.05},
}
_NAME = re.compile(r"[\w.-]{1,40}")
_LARGEST_BYTES = 1 << 20


class Presets:
    """The presets in ``path``, which None has none of, and ours."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def all(self) -> dict[str, dict[str, Any]]:
        """Every preset, ours first; one of the user's may stand in for one of ours."""
        return {name: dict(values) for name, values in BUILT_IN.items()} | self._own()

    def get(self, name: str) -> dict[str, Any]:
        """The parameters of a preset. Raises NotFoundError."""
        presets = self.all()
        if name not in presets:
            raise NotFoundError(f"there is no preset {name[:60]!r}", hint=f"there are {', '.join(presets)}")
        return presets[name]

    def save(self, name: str, sampling: Mapping[str, Any]) -> None:
        """Keep ``sampling`` under ``name``. Raises UsageError for what is no name, and the errors of the disk."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name[:60]!r} is no name", hint="letters, digits, - and _, at most 40")
        if self._path is None:
            raise UsageError("nothing is kept in this conversation", hint="begin it without --no-history")
        own = self._own() | {name: sampling_for_server(sampling)}
        with os_errors(f"save the preset {name}"):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self._path, msgspec.json.format(msgspec.json.encode(own)), mode=0o600)

    def _own(self) -> dict[str, dict[str, Any]]:
        if self._path is not None:
            with contextlib.suppress(EdgeLLMError, msgspec.MsgspecError, UnicodeDecodeError):
                raw = read_small_file(self._path, _LARGEST_BYTES, "the presets")
                return msgspec.json.decode(raw, type=dict[str, dict[str, Any]])
        return {}
