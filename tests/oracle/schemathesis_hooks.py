"""What the fuzzer is told: a model that is there, and answers that are short. Loaded by test_oracle_openapi.py."""

from __future__ import annotations

from typing import Any

import schemathesis

_MODEL = "tiny-llm"
_NAMES = ("model", "name", "source", "from")
_MOST = {"max_tokens": 6, "n_predict": 6, "max_completion_tokens": 6, "max_output_tokens": 6, "n": 2, "n_cmpl": 2}


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Half of the names mean the model of the store; numbers that are too large become small ones. What is wrong stays
    wrong."""
    if not isinstance(body, dict):
        return body
    changed = dict(body)
    for name in _NAMES:
        value = body.get(name)
        if isinstance(value, str) and len(value) % 2 == 0:
            changed[name] = _MODEL
    for name, most in _MOST.items():
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > most:
            changed[name] = most
    turns = body.get("messages")
    if isinstance(turns, list) and turns and len(str(turns)) % 2 == 0 and all(isinstance(turn, dict) for turn in turns):
        changed["messages"] = [{"role": "user", "content": "Hello"}]
    if "prompt" in body and body.get("n_predict") in (None, -1):
        changed["n_predict"] = 4
    options = body.get("options")
    if isinstance(options, dict) and options.get("num_predict", -1) in (None, -1, -2):
        changed["options"] = {**options, "num_predict": 4}
    return changed
