"""POST /api/generate"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UsageError
from edgellm.server.caller import caller_of
from edgellm.server.dialects.ollama.answering import NDJSON, Asked, respond
from edgellm.server.dialects.ollama.chat import check_thinking, refuse_images, thinking
from edgellm.server.dialects.ollama.durations import parse_keep_alive
from edgellm.server.dialects.ollama.errors import model_name
from edgellm.server.dialects.ollama.infill import infill_prompt
from edgellm.server.dialects.ollama.lines import Line
from edgellm.server.dialects.ollama.loading import load_or_unload
from edgellm.server.dialects.ollama.messages import GenerateBody
from edgellm.server.dialects.ollama.options import answer_options, asked_context, check_options, format_grammar
from edgellm.server.dialects.ollama.replies import GenerateReply
from edgellm.server.dialects.ollama.templates import render_with, require_jinja
from edgellm.server.generation.request import AnswerOptions, ChatRequest, CompletionRequest, with_bundle_defaults
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.models.loaded import LoadedModel

__all__ = ["generate"]


@operation(body=GenerateBody, answer=Line, stream=NDJSON, errors=MODEL_ERRORS)
async def generate(request: Request) -> Response:
    """Continue or answer a prompt, or load or unload a model when there is none."""
    body = await read_json(request, GenerateBody)
    name = model_name(body)
    keep_alive_s = parse_keep_alive(body.keep_alive)
    options = check_options(body.options)
    n_context = asked_context(options)
    reply = GenerateReply(name)
    refuse_images(body.images)
    if not body.prompt and not body.suffix:
        return await load_or_unload(request, name, keep_alive_s, n_context, reply)
    if body.raw and (body.template or body.system or body.context):
        raise UsageError("raw mode does not support template, system, or context")
    if body.template:
        require_jinja(body.template)
    asked = answer_options(
        options,
        grammar=format_grammar(body.format),
        truncate=body.truncate,
        shift=body.shift,
        logprobs=body.logprobs,
        top_logprobs=body.top_logprobs,
        scope=caller_of(request).scope,
    )
    prompt = _Prompt(body, asked)
    return await respond(
        request,
        Asked(
            name,
            keep_alive_s,
            n_context,
            body.stream is not False,
            prompt.prepare,
            None if body.raw or body.suffix else prompt.context,
        ),
        reply,
    )


class _Prompt:
    """What ``body`` asks for, as a request of ours."""

    def __init__(self, body: GenerateBody, options: AnswerOptions) -> None:
        self._body = body
        self._options = options

    async def prepare(self, model: LoadedModel) -> ChatRequest | CompletionRequest:
        """A chat of one message; a completion where there is no template, or the prompt is not to be touched."""
        body, prompt = self._body, self._body.prompt or ""
        if body.suffix:
            return CompletionRequest(prompt=await infill_prompt(model, prompt, body.suffix), options=self._options)
        if body.raw or self._is_plain(model):
            before = tuple(body.context or ())
            tokens = (*before, *await _tokens(model, prompt, add_special=not before)) if before else prompt
            return CompletionRequest(prompt=tokens, options=self._options)
        if body.template or body.context:
            return CompletionRequest(prompt=await self._prompt_tokens(model), options=self._options)
        chat = self._chat()
        await check_thinking(model, chat)
        return chat

    async def context(self, model: LoadedModel, generated: Sequence[int]) -> Sequence[int]:
        """The tokens of the conversation so far, to be sent with the next prompt."""
        return (*await self._prompt_tokens(model), *generated)

    def _is_plain(self, model: LoadedModel) -> bool:
        return not model.engine.info.has_chat_template and not self._body.template

    def _chat(self) -> ChatRequest:
        messages: list[dict[str, Any]] = [{"role": "user", "content": self._body.prompt or ""}]
        if self._body.system:
            messages.insert(0, {"role": "system", "content": self._body.system})
        return ChatRequest(messages=tuple(messages), thinking=thinking(self._body.think), options=self._options)

    async def _prompt_tokens(self, model: LoadedModel) -> tuple[int, ...]:
        before = tuple(self._body.context or ())
        if self._is_plain(model):
            return (*before, *await _tokens(model, self._body.prompt or "", add_special=not before))
        asked = self._chat() if before else with_bundle_defaults(model.bundle.plan, self._chat())
        text = await render_with(model, asked, self._body.template)
        if before:
            text = text.removeprefix(model.engine.facts.bos_text)  # the conversation has begun already
        return (*before, *await _tokens(model, text, add_special=False))


async def _tokens(model: LoadedModel, text: str, *, add_special: bool) -> list[int]:
    return await model.engine.prompt_tokens(text, add_special=add_special)
