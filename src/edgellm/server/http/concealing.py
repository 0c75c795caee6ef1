"""Folders of this machine in what clients are told: they get the folder's name, the log has its path."""

from __future__ import annotations

import copy
import logging
import re
from pathlib import Path
from typing import TypeVar

from edgellm.errors import EdgeLLMError
from edgellm.paths import Paths

__all__ = ["Concealer"]

Error = TypeVar("Error", bound=EdgeLLMError)
_log = logging.getLogger("edgellm.server")


class Concealer:
    """Knows the folders of one server. A path below one of them becomes ``(store)/...`` and the like."""

    def __init__(self, paths: Paths, store: Path) -> None:
        folders = {
            store: "store",
            paths.store: "store",
            paths.state: "state",
            paths.cache: "cache",
            paths.config: "config",
            paths.runtime: "runtime",
        }
        if paths.system_store is not None:
            folders[paths.system_store] = "machine's store"
        self._names = {str(folder): f"({name})" for folder, name in folders.items()}
        self._names |= {str(folder.resolve()): f"({name})" for folder, name in folders.items()}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w.-])")

    def text(self, text: str) -> str:
        """``text`` without the paths of those folders."""
        return self._pattern.sub(lambda match: self._names[match[0]], text)

    def error(self, error: Error) -> Error:
        """``error`` likewise; the log has the whole of it where that says more."""
        message, hint = self.text(error.message), None if error.hint is None else self.text(error.hint)
        if (message, hint) == (error.message, error.hint):
            return error
        _log.warning("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        told = copy.copy(error)
        told.message, told.hint = message, hint
        return told
