"""A model that is loaded, as a request sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edgellm.bundle.opened import OpenBundle

if TYPE_CHECKING:
    from edgellm_runtimes.engine import Engine
    from edgellm_runtimes.engine_info import EngineInfo

__all__ = ["LoadedModel"]


@dataclass(frozen=True)
class LoadedModel:
    """A bundle and its engine, held by one request until it is done. ``load_s`` is what that request waited for it.

    ``note`` says what is otherwise than was asked for: another context, the former bundle of a name. With
    ``saves_chats`` conversations are kept on the disk.
    """

    bundle: OpenBundle
    engine: Engine
    load_s: float = 0.0
    note: str = ""
    saves_chats: bool = False

    @property
    def name(self) -> str:
        """Its full name in the store."""
        return self.bundle.name

    @property
    def told_info(self) -> EngineInfo:
        """How it was loaded, as clients are told: where its file is on this machine is no affair of theirs."""
        return msgspec.structs.replace(self.engine.info, path="")

    @property
    def context(self) -> int:
        """Tokens of one sequence."""
        return self.engine.info.context
