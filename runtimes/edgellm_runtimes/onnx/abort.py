"""Stops a running call of ONNX Runtime from another thread."""

from __future__ import annotations

from typing import Any

__all__ = ["AbortSwitch"]


class AbortSwitch:
    """See ``backend.AbortSignal``: a run looks at its options before every node."""

    def __init__(self, run_options: Any) -> None:
        self._options = run_options

    def set(self) -> None:
        """Ask the running call to stop."""
        self._options.terminate = True

    def clear(self) -> None:
        """Allow the next call."""
        self._options.terminate = False

    @property
    def is_set(self) -> bool:
        """True while set."""
        return bool(self._options.terminate)
