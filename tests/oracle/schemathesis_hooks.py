"""What the fuzzer is told: a model that is there, and answers that are short. Loaded by test_oracle_openapi.py."""

from __future__ import annotations

from typing import Any

import schemathesis

_MODEL = "tiny-llm"
_VICTIM = "victim"  # what is renamed and deleted: a second name of the model
_ENDINGS = ("/delete", "/rename")
_NAMES = ("model", "source", "from")
_MOST = {"max_tokens": 6, "n_predict": 6, "max_completion_tokens": 6, "max_output_tokens": 6, "n": 2, "n_cmpl": 2}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Half of the names mean the model of the store, and half of the chats are one that a template takes; numbers that
    are too large become small ones. What is wrong stays wrong."""
    if isinstance(case.body, dict):
        model = _VICTIM if case.path.endswith(_ENDINGS) else _MODEL
        case.body = _tamed(case.body, model, may_add="/v1/messages" not in case.path)


def _tamed(body: dict[str, Any], model: str, *, may_add: bool) -> dict[str, Any]:
    changed = dict(body)
    for name in _NAMES:
        value = body.get(name)
        if isinstance(value, str) and len(value) % 2 == 0:
            changed[name] = model
    for name in ("name", "destination") if "model" in body or "source" in body else ():
        if isinstance(body.get(name), str) and len(body[name]) % 2 == 0:
            changed[name] = _VICTIM
    for name, most in _MOST.items():
        if _is_number(body.get(name)) and body[name] > most:
            changed[name] = most
    turns = body.get("messages")
    if isinstance(turns, list) and turns and len(str(turns)) % 2 == 0 and all(isinstance(turn, dict) for turn in turns):
        changed["messages"] = [{"role": "user", "content": "Hello"}]
    if may_add:
        for name in ("max_tokens", "n_predict"):
            if body.get(name) in (None, -1):
                changed[name] = 4
        options = body.get("options", {})
        if isinstance(options, dict):
            asked = options.get("num_predict")
            if asked is None or (_is_number(asked) and not 0 <= asked < 6):
                changed["options"] = {**options, "num_predict": 4}
    return changed


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
