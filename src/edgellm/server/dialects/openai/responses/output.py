"""The items of an answer as they come, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgellm.server.dialects.openai.names import new_id
from edgellm.server.generation.events import AnswerEnd, ToolCallDelta, ToolCallEnd, ToolCallStart

__all__ = ["ResponseOutput", "StreamEvent"]

StreamEvent = dict[str, Any]
_THOUGHT, _TEXT = "response.reasoning_text", "response.output_text"
_ARGUMENTS = "response.function_call_arguments"


class ResponseOutput:
    """Builds items: a thought, a message, calls. Each method returns the events that tell of what it did."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.end: AnswerEnd | None = None
        self._open: dict[str, Any] | None = None  # the item that text is added to
        self._parts: list[str] = []

    def think(self, text: str) -> list[StreamEvent]:
        """Some of a thought."""
        begun = self._begin("reasoning", "rs_", {"summary": []})
        return [*begun, self._place(f"{_THOUGHT}.delta", delta=self._add(text))]

    def say(self, text: str, logprobs: Sequence[Any] = ()) -> list[StreamEvent]:
        """Some text."""
        begun = self._begin("message", "msg_", {"role": "assistant"})
        assert self._open is not None
        self._open["content"][0]["logprobs"] += logprobs
        return [*begun, self._place(f"{_TEXT}.delta", delta=self._add(text), logprobs=list(logprobs))]

    def begin_call(self, call: ToolCallStart) -> list[StreamEvent]:
        """A call, whose arguments are to come."""
        told = self.close()
        item = {
            "id": new_id("fc_"),
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": "",
            "status": "in_progress",
        }
        self.items.append(item)
        added = {"type": "response.output_item.added", "output_index": len(self.items) - 1, "item": {**item}}
        return [*told, added]

    def add_arguments(self, more: ToolCallDelta) -> list[StreamEvent]:
        """Some of its arguments."""
        self._parts.append(more.arguments)
        return [{"type": f"{_ARGUMENTS}.delta", **self._call_place(), "delta": more.arguments}]

    def end_call(self, end: ToolCallEnd) -> list[StreamEvent]:
        """The call is whole, or as whole as it will be."""
        item = self.items[-1]
        item["arguments"] = "".join(self._parts)
        item["status"] = "completed" if end.is_whole else "incomplete"
        self._parts = []
        index = len(self.items) - 1
        done = {"name": item["name"], "arguments": item["arguments"]}
        return [
            {"type": f"{_ARGUMENTS}.done", **self._call_place(), **done},
            {"type": "response.output_item.done", "output_index": index, "item": item},
        ]

    def close(self, status: str = "completed") -> list[StreamEvent]:
        """The open item is whole, or as whole as it will be."""
        item = self._open
        if item is None:
            return []
        part = item["content"][0]
        part["text"] = "".join(self._parts)
        item["status"] = status
        name = _TEXT if item["type"] == "message" else _THOUGHT
        told = [self._place(f"{name}.done", text=part["text"])]
        if item["type"] == "message":
            told[0]["logprobs"] = part["logprobs"]
        told.append(self._place("response.content_part.done", part=part))
        told.append({"type": "response.output_item.done", "output_index": len(self.items) - 1, "item": item})
        self._open = None
        self._parts = []
        return told

    def _begin(self, kind: str, prefix: str, fields: dict[str, Any]) -> list[StreamEvent]:
        """An open item of this kind."""
        if self._open is not None and self._open["type"] == kind:
            return []
        told = self.close()
        item: dict[str, Any] = {"id": new_id(prefix), "type": kind, "status": "in_progress", **fields, "content": []}
        added = {"type": "response.output_item.added", "output_index": len(self.items), "item": {**item, "content": []}}
        is_message = kind == "message"
        part: dict[str, Any] = {"type": "output_text" if is_message else "reasoning_text", "text": ""}
        if is_message:
            part |= {"annotations": [], "logprobs": []}
        item["content"].append(part)
        self.items.append(item)
        self._open = item
        return [*told, added, self._place("response.content_part.added", part=_copy(part))]

    def _add(self, text: str) -> str:
        self._parts.append(text)
        return text

    def _call_place(self) -> dict[str, Any]:
        return {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1}

    def _place(self, kind: str, **fields: Any) -> StreamEvent:
        assert self._open is not None
        place = {"item_id": self._open["id"], "output_index": len(self.items) - 1, "content_index": 0}
        return {"type": kind, **place, **fields}


def _copy(part: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, list) else value for key, value in part.items()}
