"""What a completion request asks of the model, in no dialect."""

from __future__ import annotations

import math
import secrets

import msgspec

from edgellm.errors import NotFoundError, UsageError
from edgellm.server.dialects.llamacpp.requests import AdapterScale, Bias, CompletionBody, PromptPart
from edgellm.server.dialects.llamacpp.settings import sampling_of
from edgellm.server.generation.request import AnswerOptions
from edgellm.server.models.loaded import LoadedModel
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import AdapterUse
from edgellm_runtimes.grammar import Grammar

__all__ = ["adapter_uses", "answer_options", "asks_for_nothing", "stop_strings"]


async def answer_options(model: LoadedModel, body: CompletionBody, scope: str) -> AnswerOptions:
    """How the answers to ``body`` are made. Raises UsageError, NotFoundError, UnsupportedError."""
    sampling = sampling_of(body)
    if body.logit_bias:
        sampling["logit_bias"] = await _logit_bias(model.engine, body.logit_bias)
    deadline_ms = body.t_max_predict_ms or 0
    if body.cache_prompt is False:  # nobody has computed anything in a scope that is new
        scope = secrets.token_hex(16)
    return AnswerOptions(
        sampling=sampling,
        stop=stop_strings(body),
        choices=body.n_cmpl or body.n or 1,
        deadline_s=deadline_ms / 1000 if deadline_ms > 0 else None,
        grammar=_grammar(body),
        adapters=adapter_uses(model.engine, body.lora or ()),
        scope=scope,
    )


def stop_strings(body: CompletionBody) -> tuple[str, ...]:
    """The stop strings of ``body`` that are not empty."""
    stops = (body.stop,) if isinstance(body.stop, str) else body.stop or ()
    return tuple(stop for stop in stops if stop)


def asks_for_nothing(body: CompletionBody) -> bool:
    """True for n_predict 0: the prompt is computed, and nothing is said."""
    return next((n for n in (body.n_predict, body.max_completion_tokens, body.max_tokens) if n is not None), -1) == 0


def adapter_uses(engine: Engine, scales: tuple[AdapterScale, ...]) -> tuple[AdapterUse, ...]:
    """The adapters that ``scales`` turn on. Raises NotFoundError for a number that none has."""
    names = engine.info.adapters
    for each in scales:
        if not 0 <= each.id < len(names):
            raise NotFoundError(f"there is no adapter {each.id}: the model has {len(names)}", hint="GET /lora-adapters")
    return tuple(AdapterUse(names[each.id], each.scale) for each in scales if each.scale != 0)


def _grammar(body: CompletionBody) -> Grammar | None:
    if body.grammar:
        return Grammar("gbnf", body.grammar)
    if body.json_schema is None:
        return None
    schema = body.json_schema if body.json_schema != {} else {"type": "object"}
    return Grammar("json_schema", msgspec.json.encode(schema).decode())


async def _logit_bias(engine: Engine, bias: list[tuple[PromptPart, Bias]] | dict[str, Bias]) -> dict[int, float]:
    """A token may be text, whose tokens are all meant, and its number false, which forbids it."""
    found: dict[int, float] = {}
    for token, value in bias.items() if isinstance(bias, dict) else bias:
        if value is True:
            raise UsageError(f"logit_bias of {token!r} is true; it must be a number, or false to forbid it")
        for number in await _token_numbers(engine, token):
            found[number] = -math.inf if value is False else float(value)
    return found


async def _token_numbers(engine: Engine, token: PromptPart) -> list[int]:
    if isinstance(token, int):
        return [token]
    if token.isascii() and token.isdecimal():
        return [int(token)]
    return await engine.prompt_tokens(token, add_special=False)
