"""What a bundle was made with, in the words of Ollama's Modelfile."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.bundle.opened import OpenBundle
from edgellm.bundle.plan import Plan
from edgellm_runtimes.ollama_names import SAMPLING_NAMES

__all__ = ["modelfile", "parameters_of", "parameters_text", "system_of"]


def parameters_of(plan: Plan) -> dict[str, Any]:
    """The parameters of a plan by Ollama's names; ``stop`` is a list."""
    values = msgspec.structs.asdict(plan.sampling)
    found = {theirs: values[ours] for theirs, ours in SAMPLING_NAMES.items() if values.get(ours) is not None}
    if plan.sampling.max_tokens is not None:
        found["num_predict"] = plan.sampling.max_tokens
    found["num_ctx"] = plan.context
    if plan.chat is not None and plan.chat.stop:
        found["stop"] = list(plan.chat.stop)
    return found


def parameters_text(parameters: dict[str, Any]) -> str:
    """One line each, as Ollama prints them."""
    lines = []
    for name, value in sorted(parameters.items()):
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"{name:<30} {_quoted(one)}")
    return "\n".join(lines)


def system_of(plan: Plan) -> str:
    """The system prompt of a plan; empty without one."""
    if plan.system_prompt is not None:
        return plan.system_prompt.text
    messages = plan.chat.messages if plan.chat is not None else ()
    return "\n".join(message.content for message in messages if message.role == "system")


def modelfile(bundle: OpenBundle, template: str, system: str) -> str:
    """A Modelfile that says how the bundle is used."""
    lines = [f"FROM {bundle.name}"]
    if template:
        lines.append(f"TEMPLATE {_block(template)}")
    if system:
        lines.append(f"SYSTEM {_block(system)}")
    for name, value in sorted(parameters_of(bundle.plan).items()):
        lines += [f"PARAMETER {name} {_quoted(one)}" for one in (value if isinstance(value, list) else [value])]
    lines += [f"ADAPTER {name}" for name in (bundle.plan.chat.adapters if bundle.plan.chat is not None else ())]
    for message in bundle.plan.chat.messages if bundle.plan.chat is not None else ():
        if message.role != "system":
            lines.append(f"MESSAGE {message.role} {_block(message.content)}")
    return "\n".join(lines) + "\n"


def _block(text: str) -> str:
    return f'"""{text}"""' if '"' in text or "\n" in text else text


def _quoted(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, str) else str(value)
