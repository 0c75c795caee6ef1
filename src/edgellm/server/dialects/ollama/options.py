"""Ollama's ``options`` and ``format`` as our sampling parameters and grammars."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from edgellm.errors import UsageError
from edgellm.server.generation.request import AnswerOptions
from edgellm_runtimes.generation import Overflow
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.ollama_names import SAMPLING_NAMES

__all__ = ["answer_options", "asked_context", "check_options", "format_grammar"]

_log = logging.getLogger("edgellm.server")

_WHOLE = frozenset(("top_k", "repeat_last_n", "seed", "mirostat", "num_ctx", "num_predict", "num_keep"))
_OF_THE_MACHINE = frozenset(  # what the bundle's plan decides for this device
    ("num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "numa", "low_vram", "f16_kv",
     "logits_all", "vocab_only", "tfs_z", "penalize_newline", "draft_num_predict")
)  # fmt: skip
_MOST_TOP_LOGPROBS = 20
_KEPT = 4  # Ollama's num_keep
_WORDS_OF_STOP = "stop"


def check_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """``options`` with every known value of its type; what is unknown is left out, with a line in the log.

    Raises UsageError naming the option.
    """
    found: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if value is None or name in _OF_THE_MACHINE:
            continue
        if name == _WORDS_OF_STOP:
            found[name] = _stops(value)
        elif name in SAMPLING_NAMES or name in _WHOLE:
            found[name] = _number(name, value)
        else:
            _log.info("the option %r is not known and was ignored", name[:40])
    return found


def asked_context(options: Mapping[str, Any]) -> int | None:
    """The tokens of context that checked ``options`` ask for."""
    context = options.get("num_ctx", 0)
    if context < 0:
        raise UsageError(f"num_ctx is {context}; it must be a number of tokens")
    return context or None


def answer_options(
    options: Mapping[str, Any],
    *,
    grammar: Grammar | None = None,
    truncate: bool | None = None,
    shift: bool | None = None,
    logprobs: bool | None = None,
    top_logprobs: int | None = None,
    scope: str = "",
) -> AnswerOptions:
    """How to answer, from checked ``options``. Raises UsageError."""
    sampling = {ours: options[theirs] for theirs, ours in SAMPLING_NAMES.items() if theirs in options}
    if sampling.get("seed", 0) < 0:
        del sampling["seed"]  # a new one each time
    predict = options.get("num_predict", -1)
    if predict > 0:
        sampling["max_tokens"] = predict
    if top_logprobs is not None and not 0 <= top_logprobs <= _MOST_TOP_LOGPROBS:
        raise UsageError(f"top_logprobs is {top_logprobs}; it must be 0 to {_MOST_TOP_LOGPROBS}")
    if logprobs:
        sampling["logprobs"] = top_logprobs or 0
    overflow: Overflow = "shift"
    if truncate is False:
        overflow = "error"
    elif shift is False:
        overflow = "truncate"
    return AnswerOptions(
        sampling=sampling,
        stop=tuple(options.get("stop", ())),
        overflow=overflow,
        keep=max(0, options.get("num_keep", _KEPT)) if overflow != "error" else 0,
        grammar=grammar,
        scope=scope,
    )


def format_grammar(asked: Any) -> Grammar | None:
    """The grammar of ``format``: ``"json"`` is any object, an object is a schema. Raises UsageError."""
    if asked is None or asked == "":
        return None
    if asked == "json":
        return Grammar("json_schema", '{"type":"object"}')
    if isinstance(asked, dict):
        return Grammar("json_schema", msgspec.json.encode(asked).decode())
    raise UsageError('format is neither a JSON schema nor "json"', hint='give "json", or a schema as an object')


def _stops(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError("the option stop must be a list of texts")
    return [text for text in texts if text]


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"the option {name} must be a number, not {str(value)[:40]!r}")
    if name not in _WHOLE:
        return float(value)
    if value != int(value):
        raise UsageError(f"the option {name} must be a whole number, not {value!r}")
    return int(value)
