"""Calls of tools as they come, put together again for who wants them whole."""

from __future__ import annotations

from dataclasses import dataclass

from edgellm.server.generation.events import ToolCallDelta, ToolCallEnd, ToolCallStart

__all__ = ["CallGatherer", "GatheredCall"]


@dataclass(frozen=True)
class GatheredCall:
    """A call. ``arguments`` is the text of a JSON object where it ``is_whole``, else as much of it as there is."""

    index: int
    id: str
    name: str
    arguments: str
    is_whole: bool


class CallGatherer:
    """Puts together the calls of one choice, which come one after the other."""

    def __init__(self) -> None:
        self._start: ToolCallStart | None = None
        self._arguments: list[str] = []

    def take(self, event: ToolCallStart | ToolCallDelta | ToolCallEnd) -> GatheredCall | None:
        """The call that ``event`` ends."""
        match event:
            case ToolCallStart():
                self._start, self._arguments = event, []
            case ToolCallDelta():
                self._arguments.append(event.arguments)
            case ToolCallEnd():
                assert self._start is not None
                start, arguments = self._start, "".join(self._arguments)
                return GatheredCall(start.index, start.id, start.name, arguments, event.is_whole)
        return None
