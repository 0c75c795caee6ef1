"""Reading and writing the plan layer, with distrust: ranges, control characters, versions."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.bundle.adapters import ADAPTERS_LIMIT, is_adapter_name
from edgellm.bundle.canonical import canonical_json, decode_json
from edgellm.bundle.compatibility import require_version
from edgellm.bundle.plan import PLAN_FORMAT_VERSION, ChatDefaults, Plan
from edgellm.bundle.system_prompt import SystemPrompt, tokens_digest
from edgellm.errors import BundleError

__all__ = ["decode_plan", "encode_plan"]

_COUNT_LIMITS = {"context": 2**27, "sequences": 256, "ubatch": 2**16, "threads": 1024, "batch_threads": 1024}
_RANK_LIMIT = 1 << 20
_TOKEN_LIMIT = 2**31
_DIMENSIONS_LIMIT = 1 << 20
_MESSAGES_LIMIT = 1024
_STOPS_LIMIT = 64
_ROLES = ("system", "user", "assistant")


class _PlanVersion(msgspec.Struct):
    """What every version of the plan has: read before anything else of it."""

    format_version: int
    minimum_edgellm: str = ""


def encode_plan(plan: Plan) -> bytes:
    """The bytes of the plan layer: canonical JSON. Raises BundleError for a plan that no reader would accept."""
    data = canonical_json(plan)
    decode_plan(data, "the plan")
    return data


def decode_plan(data: bytes, what: str) -> Plan:
    """Read a plan layer. Unknown fields are ignored.

    Raises BundleError when it is not valid, UnsupportedError ("needs edgellm >= X") when it is newer than we are.
    """
    version = decode_json(data, _PlanVersion, what)
    if version.format_version < 1:
        raise BundleError(f"{what} has format {version.format_version}")
    require_version(
        what, format_version=version.format_version, known=PLAN_FORMAT_VERSION, minimum=version.minimum_edgellm
    )
    plan = decode_json(data, Plan, what)
    for name, value, least in (
        ("context", plan.context, 1),
        ("sequences", plan.sequences, 1),
        ("ubatch", plan.ubatch, 1),
        ("threads", plan.threads, 0),
        ("batch_threads", plan.batch_threads, 0),
    ):
        if not least <= value <= _COUNT_LIMITS[name]:
            raise BundleError(f"{what} has {name} {value}, which is out of range")
    _check_adapters(plan, what)
    if plan.system_prompt is not None:
        _check_system_prompt(plan.system_prompt, plan.context, what)
    if plan.encoder is not None and not 1 <= plan.encoder.dimensions <= _DIMENSIONS_LIMIT:
        raise BundleError(f"{what} has vectors of {plan.encoder.dimensions} numbers, which is out of range")
    if plan.chat is not None:
        _check_chat(plan.chat, {adapter.name for adapter in plan.adapters}, what)
    _refuse_control_characters(msgspec.to_builtins(plan), what)
    return plan


def _check_adapters(plan: Plan, what: str) -> None:
    names = [adapter.name for adapter in plan.adapters]
    if len(names) > ADAPTERS_LIMIT:
        raise BundleError(f"{what} lists {len(names)} adapters; at most {ADAPTERS_LIMIT} are possible")
    if names != sorted(set(names)):
        raise BundleError(f"{what} does not list every adapter once, by name")
    for adapter in plan.adapters:
        if not is_adapter_name(adapter.name):
            raise BundleError(f"{what} calls an adapter {adapter.name[:80]!r}, which is no name")
        if not 1 <= adapter.rank <= _RANK_LIMIT:
            raise BundleError(f"{what} has an adapter of rank {adapter.rank}, which is out of range")


def _check_system_prompt(prompt: SystemPrompt, context: int, what: str) -> None:
    if not all(0 <= token < _TOKEN_LIMIT for token in prompt.tokens):
        raise BundleError(f"{what} has a system prompt with token ids that are none")
    if not 0 < len(prompt.tokens) < context:
        raise BundleError(f"{what} has a system prompt of {len(prompt.tokens)} tokens for a context of {context}")
    if prompt.digest != tokens_digest(prompt.tokens):
        raise BundleError(f"{what} has a system prompt whose tokens are not those of its digest")


def _check_chat(chat: ChatDefaults, adapters: set[str], what: str) -> None:
    if not set(chat.adapters) <= adapters:
        raise BundleError(f"{what} uses adapters that it does not list")
    if len(chat.messages) > _MESSAGES_LIMIT or len(chat.stop) > _STOPS_LIMIT or not all(chat.stop):
        raise BundleError(f"{what} has more messages or stop texts than chats may begin with, or an empty one")
    for message in chat.messages:
        if message.role not in _ROLES:
            raise BundleError(f"{what} has a message of {message.role[:40]!r}; it must be {', '.join(_ROLES)}")


def _refuse_control_characters(value: Any, what: str) -> None:
    """Texts of the plan are shown on terminals: an escape sequence in one of them is an attack, not a text."""
    if isinstance(value, str):
        if any((ord(letter) < 32 and letter not in "\n\t") or 127 <= ord(letter) < 160 for letter in value):
            raise BundleError(f"{what} has control characters in {value[:60]!r}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_control_characters(key, what)
            _refuse_control_characters(item, what)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_control_characters(item, what)
