"""genai_config.json: what onnxruntime-genai wants to know of a model beside its graph. Unknown keys are fatal there.

Format: https://onnxruntime.ai/docs/genai/reference/config.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgellm.bundle.plan import SamplingDefaults
    from edgellm_converters.arch.hyper import Hyper

__all__ = ["GENAI_CONFIG_NAME", "genai_config"]

GENAI_CONFIG_NAME = "genai_config.json"


def genai_config(
    hyper: Hyper,
    model_type: str,
    graph_name: str,
    *,
    context_length: int,
    max_length: int,
    special_tokens: Mapping[str, int | None],
    eos_token_ids: tuple[int, ...],
    sampling: SamplingDefaults,
) -> bytes:
    """The file, always the same for the same model.

    ``context_length``: positions of the graph. ``max_length``: for how many tokens onnxruntime-genai allocates its
    cache, unless a program asks for another number. ``special_tokens``: ``bos_token_id`` and ``pad_token_id``.
    """
    model: dict[str, Any] = {
        "type": model_type,
        "context_length": context_length,
        "vocab_size": hyper.n_vocab,
        "eos_token_id": list(eos_token_ids) if len(eos_token_ids) != 1 else eos_token_ids[0],
        "decoder": _decoder(hyper, graph_name),
    }
    first_end = eos_token_ids[0] if eos_token_ids else 0
    model["bos_token_id"] = _or(special_tokens.get("bos_token_id"), first_end)
    model["pad_token_id"] = _or(special_tokens.get("pad_token_id"), first_end)
    search: dict[str, Any] = {"max_length": max_length, "past_present_share_buffer": True, **_search(sampling)}
    return json.dumps({"model": model, "search": search}, indent=2, sort_keys=True).encode() + b"\n"


def _decoder(hyper: Hyper, graph_name: str) -> dict[str, Any]:
    return {
        "filename": graph_name,
        "session_options": {"provider_options": []},
        "head_size": hyper.head_dim,
        "hidden_size": hyper.n_embd,
        "num_attention_heads": hyper.n_heads,
        "num_key_value_heads": hyper.n_kv_heads,
        "num_hidden_layers": hyper.n_layers,
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
    }


def _search(sampling: SamplingDefaults) -> dict[str, Any]:
    """The sampling that the model recommends, in onnxruntime-genai's words; greedy where it says nothing."""
    given = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    values["do_sample"] = bool(sampling.temperature)
    if not values["do_sample"]:
        values.pop("temperature", None)
    return values


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
