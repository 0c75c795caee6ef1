"""What is certain of a call while it is written."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["CallDelta", "CallEnd", "CallPiece", "CallStart", "CallStream"]


class CallStart(NamedTuple):
    """A call of ``name`` begins. ``id`` is empty where the model gave none."""

    name: str
    id: str = ""


class CallDelta(NamedTuple):
    """Some of the text of its arguments, a JSON object."""

    arguments: str


class CallEnd(NamedTuple):
    """Nothing more comes of it. ``is_whole``: its arguments are a whole JSON object."""

    is_whole: bool


CallPiece = CallStart | CallDelta | CallEnd


class CallStream(Protocol):
    """Reads what stands behind the marker of a call, as it comes."""

    @property
    def has_begun(self) -> bool:
        """True once a call was told of."""

    def take(self, text: str) -> tuple[list[CallPiece], int]:
        """What is certain by now, and how many characters of ``text`` it took; the rest is given again, with more."""

    def finish(self, rest: str, *, is_cut: bool) -> tuple[list[CallPiece], str]:
        """What ``rest`` adds, before the closing marker or the end of the answer, and the text of it that is no call.

        ``is_cut``: the answer ended since it was as long as it may be.
        """
