"""The response object, and an answer as a stream of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from edgellm.errors import EdgeLLMError
from edgellm.server.dialects.openai.logprobs import name_logprobs
from edgellm.server.dialects.openai.names import new_id, now_s
from edgellm.server.dialects.openai.responses.messages import ResponsesBody
from edgellm.server.dialects.openai.responses.output import ResponseOutput, StreamEvent
from edgellm.server.dialects.openai.usage import usage_of
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm.server.models.loaded import LoadedModel

__all__ = ["ResponseWriter"]

_encode = msgspec.json.Encoder().encode


class ResponseWriter:
    """One response as it comes."""

    def __init__(self, body: ResponsesBody) -> None:
        self._body = body
        self._output = ResponseOutput()
        self._id, self._created = new_id("resp_"), now_s()
        self._number = 0
        self._model_name = body.model

    async def whole(self, model: LoadedModel, stream: AsyncGenerator[list[Event], None]) -> dict[str, Any]:
        """The response when ``stream`` has ended."""
        self._model_name = model.name
        async for events in stream:
            for event in events:
                await self._take(model, event)
        return self._ended()

    async def events(
        self, model: LoadedModel, stream: AsyncGenerator[list[Event], None]
    ) -> AsyncGenerator[bytes, None]:
        """The events of ``stream``: those that come together in one piece."""
        self._model_name = model.name
        first = True
        async for events in stream:
            told: list[StreamEvent] = []
            if first:
                begun = self._response("in_progress")
                told = [
                    {"type": "response.created", "response": begun},
                    {"type": "response.in_progress", "response": begun},
                ]
                first = False
            for event in events:
                told += await self._take(model, event)
            if told:
                yield self._written(told)
        response = self._ended()
        yield self._written([{"type": f"response.{response['status']}", "response": response}])

    def failed(self, error: EdgeLLMError) -> bytes:
        """The last event of a stream that failed."""
        response = self._response("failed")
        response["error"] = {"code": "server_error", "message": error.message}
        return self._written([{"type": "response.failed", "response": response}])

    async def _take(self, model: LoadedModel, event: Event) -> list[StreamEvent]:
        output = self._output
        match event:
            case TextPart():
                logprobs = await name_logprobs(model.engine, event.token_ids, event.logprobs) if event.logprobs else []
                return output.say(event.text, logprobs) if event.text or logprobs else []
            case ThinkingPart():
                return output.think(event.text)
            case ToolCallStart():
                return output.begin_call(event)
            case ToolCallDelta():
                return output.add_arguments(event)
            case ToolCallEnd():
                return output.end_call(event)
            case AnswerEnd():
                output.end = event
                return output.close(_status(event))

    def _written(self, events: list[StreamEvent]) -> bytes:
        parts = []
        for event in events:
            event["sequence_number"] = self._number
            self._number += 1
            parts.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event)))
        return b"".join(parts)

    def _ended(self) -> dict[str, Any]:
        end = self._output.end
        assert end is not None
        response = self._response(_status(end))
        if response["status"] == "incomplete":
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        usage = usage_of([[end]])
        response["usage"] = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.prompt_tokens_details.cached_tokens,
                "cache_write_tokens": 0,  # OpenAI's are billed
            },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": usage.completion_tokens_details,
            "total_tokens": usage.total_tokens,
        }
        return response

    def _response(self, status: str) -> dict[str, Any]:
        body = self._body
        text = {"format": {"type": "text"}}
        if body.text is not None and body.text.format is not None:
            text = {"format": msgspec.to_builtins(body.text.format)}
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._model_name,
            "output": list(self._output.items) if status != "in_progress" else [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
            "store": False,
            "temperature": body.temperature,
            "text": text,
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": body.top_p,
            "truncation": body.truncation or "disabled",
            "usage": None,
            "user": body.user,
        }


def _status(end: AnswerEnd) -> str:
    return "incomplete" if end.reason in ("length", "deadline") else "completed"
