"""What clients of llama-server send (https://github.com/ggml-org/llama.cpp/tree/master/tools/server)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edgellm.server.dialects.openai.chat.messages import ChatBody

__all__ = [
    "AdapterScale",
    "ApplyTemplateBody",
    "Bias",
    "CompletionBody",
    "DetokenizeBody",
    "EmbeddingBody",
    "Prompt",
    "PromptObject",
    "PromptPart",
    "Prompts",
    "Token",
    "TokenizeBody",
]


class PromptObject(msgspec.Struct, frozen=True):
    """A prompt as an object. ``multimodal_data`` is known, so that the refusal can say why."""

    prompt_string: str | list[PromptPart]
    multimodal_data: list[Any] | None = None


Token = Annotated[int, msgspec.Meta(ge=0)]
PromptPart = Token | str
Prompt = str | PromptObject | list[PromptPart]
"""Text, token ids, both mixed in a list, or an object."""

Prompts = str | PromptObject | list[Token | str | PromptObject | list[PromptPart]]
"""One prompt, or a list of them: a list that holds a number is one prompt."""

Bias = float | bool


class AdapterScale(msgspec.Struct, frozen=True):
    """How strongly the adapter with the number ``id`` counts."""

    id: int
    scale: float = 0.0


class CompletionBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /completion. What is null or missing is the model's default; keys that are not here are ignored."""

    prompt: Prompts
    model: str | None = None  # llama-server has one model; see ``which``
    # how much
    n_predict: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    n_keep: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    n_cmpl: Annotated[int, msgspec.Meta(ge=1)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    t_max_predict_ms: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    stop: str | tuple[str, ...] | None = None
    ignore_eos: bool | None = None
    cache_prompt: bool | None = None
    id_slot: int | None = None
    # which tokens
    temperature: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_n_sigma: float | None = None
    typical_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    seed: int | None = None
    min_keep: int | None = None
    samplers: str | tuple[str, ...] | None = None
    logit_bias: list[tuple[PromptPart, Bias]] | dict[str, Bias] | None = None
    grammar: str | None = None
    json_schema: Any = None
    lora: tuple[AdapterScale, ...] | None = None
    # what is answered
    stream: bool | None = None
    n_probs: Annotated[int, msgspec.Meta(ge=0)] | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0)] | None = None
    post_sampling_probs: bool | None = None
    return_tokens: bool | None = None
    timings_per_token: bool | None = None
    response_fields: tuple[str, ...] | None = None


class TokenizeBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /tokenize"""

    content: str | list[PromptPart] = ""
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False
    model: str | None = None


class DetokenizeBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /detokenize"""

    tokens: tuple[Token, ...] = ()
    model: str | None = None


class ApplyTemplateBody(ChatBody, kw_only=True):
    """POST /apply-template: a chat as OpenAI's clients write it."""

    model: str = ""


class EmbeddingBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /embedding. One of ``content`` and ``input`` is there."""

    content: Prompts | None = None
    input: Prompts | None = None
    embd_normalize: int = 2
    model: str | None = None
