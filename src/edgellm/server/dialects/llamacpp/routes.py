"""The routes that make text, and those that only need the tokenizer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import EdgeLLMError
from edgellm.server.caller import caller_of
from edgellm.server.dialects.llamacpp.adapters import with_own_scales
from edgellm.server.dialects.llamacpp.completion import completion_parts, whole_completions
from edgellm.server.dialects.llamacpp.errors import error_body
from edgellm.server.dialects.llamacpp.prompts import prompt_tokens
from edgellm.server.dialects.llamacpp.requests import (
    ApplyTemplateBody,
    CompletionBody,
    DetokenizeBody,
    TokenizeBody,
)
from edgellm.server.dialects.llamacpp.responses import Completion, Content, Prompted, TokenPiece, Tokens, nested_fields
from edgellm.server.dialects.llamacpp.slots import slots_of
from edgellm.server.dialects.llamacpp.which import model_name
from edgellm.server.dialects.openai.chat.translation import chat_request
from edgellm.server.generation.prompt import chat_prompt
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.http.streaming import EVENT_STREAM, begun_stream
from edgellm.server.state import state_of

__all__ = ["apply_template", "complete", "detokenize", "tokenize"]

_encode = msgspec.json.Encoder().encode


@operation(body=CompletionBody, answer=Completion | list[Completion], stream=EVENT_STREAM, errors=MODEL_ERRORS)
async def complete(request: Request) -> Response:
    """Continue a prompt, or each of several."""
    body = await read_json(request, CompletionBody)
    name = await model_name(request, body.model)
    if body.stream:
        return await begun_stream(request, _stream(request, name, body), _failed)
    return JSONResponse(await unless_gone(request, _whole(request, name, body)))


async def _whole(request: Request, name: str, body: CompletionBody) -> Any:
    slots, _ = slots_of(request)
    async with state_of(request).models.use(name) as model:
        body = with_own_scales(request, model, body)
        async with contextlib.aclosing(completion_parts(model, body, slots, caller_of(request))) as parts:
            answers: list[Any] = list(await whole_completions(parts, body))
    if body.response_fields:
        answers = [nested_fields(body.response_fields, each) for each in answers]
    return answers[0] if len(answers) == 1 else answers


async def _stream(request: Request, name: str, body: CompletionBody) -> AsyncGenerator[bytes, None]:
    slots, _ = slots_of(request)
    async with state_of(request).models.use(name) as model:
        body = with_own_scales(request, model, body)
        async with contextlib.aclosing(completion_parts(model, body, slots, caller_of(request))) as lists:
            async for parts in lists:
                if parts:
                    yield b"".join(_event(part, body) for part in parts)


def _event(part: msgspec.Struct, body: CompletionBody) -> bytes:
    is_end = getattr(part, "stop", False)
    shown = nested_fields(body.response_fields, part) if is_end and body.response_fields else part
    return b"data: %b\n\n" % _encode(shown)


def _failed(error: EdgeLLMError) -> bytes:
    return b"data: %b\n\n" % _encode(error_body(error, error.http_status))


@operation(body=TokenizeBody, answer=Tokens, errors=MODEL_ERRORS)
async def tokenize(request: Request) -> Response:
    """The tokens of a text."""
    body = await read_json(request, TokenizeBody)
    name = await model_name(request, body.model)
    async with state_of(request).models.use(name) as model:
        tokens = await prompt_tokens(
            model.engine, body.content, add_special=body.add_special, parse_special=body.parse_special
        )
        if not body.with_pieces:
            return JSONResponse(Tokens([*tokens]))
        pieces = await model.engine.in_thread(model.engine.token_bytes, tokens)
    return JSONResponse(Tokens([TokenPiece(*pair) for pair in zip(tokens, map(_text_or_bytes, pieces), strict=True)]))


def _text_or_bytes(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


@operation(body=DetokenizeBody, answer=Content, errors=MODEL_ERRORS)
async def detokenize(request: Request) -> Response:
    """The text of tokens."""
    body = await read_json(request, DetokenizeBody)
    name = await model_name(request, body.model)
    async with state_of(request).models.use(name) as model:
        pieces = await model.engine.in_thread(model.engine.token_bytes, model.engine.check_tokens(body.tokens))
    return JSONResponse(Content(b"".join(pieces).decode("utf-8", "replace")))


@operation(body=ApplyTemplateBody, answer=Prompted, errors=MODEL_ERRORS)
async def apply_template(request: Request) -> Response:
    """The prompt that a chat becomes."""
    body = await read_json(request, ApplyTemplateBody)
    name = await model_name(request, body.model)
    chat = msgspec.structs.replace(chat_request(body, ""), continue_last=True)
    async with state_of(request).models.use(name) as model:
        return JSONResponse(Prompted(await chat_prompt(model, chat)))
