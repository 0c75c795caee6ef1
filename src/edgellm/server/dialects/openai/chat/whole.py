"""A chat's answer in one piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from edgellm.server.dialects.openai.chat.messages import (
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    ChatLogprobs,
    FunctionCall,
    ToolCall,
)
from edgellm.server.dialects.openai.logprobs import name_logprobs
from edgellm.server.dialects.openai.names import fingerprint, new_id, now_s
from edgellm.server.dialects.openai.usage import finish_reason, usage_of
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm.server.generation.gathering import CallGatherer
from edgellm.server.models.loaded import LoadedModel
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = ["whole_chat"]


class _Choice:
    """What has come of one choice."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self._gatherer = CallGatherer()
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprobs] = []
        self.end: AnswerEnd | None = None

    def take(self, event: Event) -> None:
        match event:
            case TextPart():
                self.text.append(event.text)
                self.token_ids += event.token_ids
                self.logprobs += event.logprobs
            case ThinkingPart():
                self.thoughts.append(event.text)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                if (call := self._gatherer.take(event)) is not None:
                    self.calls.append(ToolCall(call.id, FunctionCall(call.name, call.arguments)))
            case AnswerEnd():
                self.end = event

    async def finished(self, index: int, model: LoadedModel, with_logprobs: bool) -> ChatChoice:
        assert self.end is not None
        text = "".join(self.text)
        message = AnswerMessage(
            "assistant",
            None if self.calls and not text else text,
            None,
            "".join(self.thoughts) or None,
            self.calls,
        )
        logprobs = None
        if with_logprobs:
            logprobs = ChatLogprobs(await name_logprobs(model.engine, self.token_ids, self.logprobs))
        return ChatChoice(index, message, logprobs, finish_reason(self.end))


async def whole_chat(
    model: LoadedModel, stream: AsyncGenerator[list[Event], None], n_choices: int, with_logprobs: bool
) -> ChatAnswer:
    """The answer that ``stream`` gives."""
    choices = [_Choice() for _ in range(n_choices)]
    async for events in stream:
        for event in events:
            choices[event.choice].take(event)
    return ChatAnswer(
        id=new_id("chatcmpl-"),
        created=now_s(),
        model=model.name,
        choices=[await choice.finished(index, model, with_logprobs) for index, choice in enumerate(choices)],
        usage=usage_of([[choice.end for choice in choices if choice.end is not None]]),
        system_fingerprint=fingerprint(model),
    )
