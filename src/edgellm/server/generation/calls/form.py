"""What a form of tool calls is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgellm.server.generation.calls.call import Call
from edgellm.server.generation.calls.json_stream import WholeCalls
from edgellm.server.generation.calls.pieces import CallStream
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["CallForm"]


@dataclass(frozen=True)
class CallForm:
    """How a family of models writes calls.

    ``opens`` begin a call; ``closes`` ends it, None where calls go on to the end of the answer. With ``bare`` an answer
    that begins with a JSON object may be a call without a marker. ``read`` gives the calls between the markers, None
    where they are none. ``write`` adds rules to a grammar and returns the expression that matches calls of ``tools``,
    as the model would write them; with its last argument several. ``say`` gives the text of calls that were made, with
    their markers. ``streams`` makes what reads calls while they are written, for these tools by name; without it
    they are told of when they are whole. ``tell`` describes tools as the model knows it, for templates that do
    not. ``answers`` is what begins a message for the user, where messages have headers.
    """

    name: str
    opens: tuple[str, ...]
    closes: str | None
    read: Callable[[str], list[Call] | None]
    write: Callable[[LarkRules, Sequence[Tool], bool], str]
    say: Callable[[Sequence[Call]], str]
    bare: bool = False
    inner: tuple[str, ...] = ()  # markers inside a call
    short_ids: bool = False  # ids of nine letters and digits
    streams: Callable[[Mapping[str, Tool]], CallStream] | None = None
    answers: str = ""
    tell: Callable[[Sequence[Mapping[str, Any]]], str] | None = None

    def stream(self, tools: Mapping[str, Tool]) -> CallStream:
        """What reads one block of calls of ``tools``, by name."""
        return WholeCalls(self.read) if self.streams is None else self.streams(tools)

    @property
    def markers(self) -> tuple[str, ...]:
        """All texts that may be control tokens of the model."""
        return (*self.opens, *self.inner, *([] if self.closes is None else [self.closes]))
