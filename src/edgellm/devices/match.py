"""Which shipped profile a machine is: the device tree decides first, then the chip, then DMI and processor names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from edgellm.devices.board import Board
from edgellm.devices.jetson import module_names
from edgellm.devices.profile import Match, Profile

__all__ = ["Found", "match_profile"]


class Found(msgspec.Struct, frozen=True):
    """A profile and why it is the one; or no profile and why not."""

    profile: Profile | None
    reason: str


def match_profile(board: Board, profiles: Sequence[Profile], arch: str) -> Found:
    """The one profile of ``profiles`` that names this board. A name that two profiles claim decides nothing.

    Names are compared as a whole and without case, and only profiles for the processor's architecture ``arch`` count.
    """
    candidates = [profile for profile in profiles if profile.cpu.arch == arch]
    rules: list[tuple[str, Iterable[str], Callable[[Match], Sequence[str]]]] = [
        ("the device tree says", _compatible(board), lambda match: match.compatible),
        ("the chip is", board.soc, lambda match: match.soc),
        ("DMI says", board.dmi, lambda match: match.dmi),
        ("the processor is", (board.cpu,), lambda match: match.soc),
    ]
    for words, names, entries in rules:
        for name in names:
            claimed = [
                profile for profile in candidates if name.lower() in {entry.lower() for entry in entries(profile.match)}
            ]
            if name and len(claimed) == 1:
                return Found(claimed[0], f"{words} {name}")
    known = [*board.compatible[:1], *board.dmi[:1], board.cpu]
    what = next((name for name in known if name), "")
    return Found(None, f"no shipped profile is for {what}" if what else "the machine does not say what it is")


def _compatible(board: Board) -> list[str]:
    """All names of the device tree, the most specific first; a Jetson's module stands behind its carrier board."""
    return [name for entry in board.compatible for name in module_names(entry)]
