"""Calls whose arguments stand in tags of their own, read while they are written: told argument by argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from edgellm.server.generation.calls.call import Call, encode
from edgellm.server.generation.calls.json_stream import pieces_of
from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallPiece, CallStart
from edgellm.server.generation.calls.tag_value import tag_value
from edgellm.server.generation.tools import Tool

__all__ = ["TagCalls"]


class TagCalls:
    """See ``pieces.CallStream``. ``head`` matches what comes before the first argument, with a group ``name``;
    ``argument`` a whole argument, with groups ``key`` and ``value``; ``last`` one whose end is missing; ``tail`` what
    ends the call."""

    def __init__(
        self,
        head: re.Pattern[str],
        argument: re.Pattern[str],
        last: re.Pattern[str],
        tail: re.Pattern[str],
        read: Callable[[str], list[Call] | None],
        tools: Mapping[str, Tool],
    ) -> None:
        self._head = head
        self._argument = argument
        self._last = last
        self._tail = tail
        self._read = read
        self._tools = tools
        self._tool: Tool | None = None  # of the call that is being read
        self._separator = ""  # before the next argument: "{" or ","; empty outside of calls
        self.has_begun = False

    def take(self, text: str) -> tuple[list[CallPiece], int]:
        """See ``pieces.CallStream``."""
        pieces: list[CallPiece] = []
        place = 0
        while True:
            if not self._separator:
                head = self._head.match(text, place)
                if head is None or head["name"] not in self._tools:
                    return pieces, place
                pieces.append(CallStart(head["name"]))
                self._tool = self._tools[head["name"]]
                self._separator, self.has_begun, place = "{", True, head.end()
            elif (argument := self._argument.match(text, place)) is not None:
                pieces.append(self._member(argument))
                place = argument.end()
            elif (tail := self._tail.match(text, place)) is not None:
                pieces += self._end()
                place = tail.end()
            else:
                return pieces, place

    def finish(self, rest: str, *, is_cut: bool) -> tuple[list[CallPiece], str]:
        """See ``pieces.CallStream``. An argument without its end is told where the answer was not cut off."""
        if self._separator:
            if is_cut:
                self._separator = ""
                return [CallEnd(is_whole=False)], ""
            last = self._last.match(rest)
            told: list[CallPiece] = [] if last is None else [self._member(last)]
            return [*told, *self._end()], rest if last is None and rest.strip() else ""
        if is_cut or (self.has_begun and not rest.strip()):
            return [], ""
        calls = self._read(rest)
        return ([], rest) if calls is None else (pieces_of(calls), "")

    def _member(self, argument: re.Match[str]) -> CallPiece:
        before, self._separator = self._separator, ","
        key = argument["key"].strip()
        return CallDelta(before + encode({key: tag_value(argument["value"], self._tool, key)})[1:-1])

    def _end(self) -> list[CallPiece]:
        opening = "{" if self._separator == "{" else ""
        self._separator = ""
        return [CallDelta(f"{opening}}}"), CallEnd(is_whole=True)]
