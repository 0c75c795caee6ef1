"""What POST /api/edgellm/show says of a model, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgellm.units import format_bytes, format_duration

__all__ = ["ModelDetails", "card_text", "fact_rows", "file_lines", "license_text"]


class ModelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of POST /api/edgellm/show."""

    name: str
    digest: str
    size_bytes: int
    parameters: str | None = None
    licenses: list[str] = []
    files: list[dict[str, Any]] = []
    plan: dict[str, Any] = {}
    smoke: dict[str, Any] | None = None
    license_documents: list[dict[str, str]] = []
    cards: list[dict[str, str]] = []
    pinned: bool = False
    loaded: dict[str, Any] | None = None


_NOT_ALWAYS = ("repack_bytes", "adapter_bytes")


def fact_rows(model: ModelDetails) -> list[tuple[str, str]]:
    """Label and text, in the order of interest."""
    plan = model.plan
    target, source = plan.get("target", {}), plan.get("source", {})
    rows = [
        ("name", model.name),
        ("model", f"{model.parameters or '?'} parameters, {plan.get('recipe', '?')}, {format_bytes(model.size_bytes)}"),
        ("made for", f"{target.get('name', '?')} with {format_bytes(target.get('memory_bytes', 0))}"),
        ("context", _context(plan)),
        ("memory", _memory(plan.get("predicted_memory", {}))),
        ("decode", _speed(plan.get("predicted_decode"))),
        ("prefill", _speed(plan.get("predicted_prefill"))),
        ("why", plan.get("why") or "the recipe was given"),
        ("source", _source(source)),
        ("licence", ", ".join(model.licenses) or "not stated by the source"),
        ("tested", _smoke(model.smoke)),
        ("now", _now(model)),
        ("digest", model.digest),
    ]
    prompt = plan.get("system_prompt")
    if prompt:
        rows.insert(-1, ("system", str(prompt.get("text", ""))))
    adapters = plan.get("adapters") or ()
    if adapters:
        rows.insert(-1, ("adapters", ", ".join(str(each.get("name")) for each in adapters)))
    return [(label, text) for label, text in rows if text]


def license_text(model: ModelDetails) -> str:
    """Identifiers, then the documents that travel along."""
    parts = [" AND ".join(model.licenses) or "The source states no licence."]
    parts += [f"--- {document['path']} ---\n\n{document['text'].rstrip()}" for document in model.license_documents]
    return "\n\n".join(parts)


def card_text(model: ModelDetails) -> str:
    """The model card as Markdown, without the metadata that hubs put before it."""
    if not model.cards:
        return "*The bundle has no model card.*"
    text = model.cards[0]["text"]
    if text.startswith("---\n") and "\n---" in text[4:]:
        text = text[4:].partition("\n---")[2].partition("\n")[2]
    return text.strip() or "*The model card is empty.*"


def file_lines(model: ModelDetails) -> list[str]:
    """Every file with its size and digest."""
    return [f"{file['path']}  {format_bytes(file['size_bytes'])}\n  {file['digest']}" for file in model.files]


def _context(plan: Mapping[str, Any]) -> str:
    if "context" not in plan:
        return ""
    return (
        f"{plan['context']} tokens, {plan.get('sequences', 1)} conversations at a time, "
        f"KV cache {plan.get('kv_type_k', '?')}"
    )


def _memory(memory: Mapping[str, Any]) -> str:
    if not memory:
        return ""
    parts = {
        "weights": "weights_bytes",
        "repacked copy": "repack_bytes",
        "KV cache": "kv_bytes",
        "compute": "compute_bytes",
        "adapters": "adapter_bytes",
        "rest": "overhead_bytes",
    }
    shares = ", ".join(
        f"{label} {format_bytes(memory.get(key, 0))}"
        for label, key in parts.items()
        if key not in _NOT_ALWAYS or memory.get(key)
    )
    return f"{format_bytes(memory.get('total_bytes', 0))} predicted: {shares}"


def _speed(speed: Mapping[str, Any] | None) -> str:
    if speed is None:
        return "not known for this device"
    return f"{speed['low']:g} to {speed['high']:g} tokens/s predicted ({speed.get('basis', '')})"


def _source(source: Mapping[str, Any]) -> str:
    if not source:
        return ""
    revision = f" at {source['revision']}" if source.get("revision") else ""
    return f"{source.get('kind', '')} {source.get('name', '')}{revision} ({source.get('architecture', '')})".strip()


def _smoke(smoke: Mapping[str, Any] | None) -> str:
    if not smoke:
        return ""
    return (
        f"passed on this machine: {smoke.get('tokens_per_s', 0):.1f} tokens/s, "
        f"loaded in {format_duration(smoke.get('load_s', 0))}"
    )


def _now(model: ModelDetails) -> str:
    pinned = "pinned: stays loaded, and is loaded when the server starts" if model.pinned else ""
    status = model.loaded
    if status is None:
        return "; ".join(filter(None, ("not in memory", pinned)))
    used = status.get("used_bytes")
    parts = [str(status.get("state"))]
    if used is not None:
        parts.append(f"{format_bytes(used)} in use")
    if status.get("requests"):
        parts.append(f"{status['requests']} requests")
    if status.get("expires_in_s") is not None:
        parts.append(f"unloaded in {format_duration(status['expires_in_s'])} unless it is used")
    return "; ".join([", ".join(parts), *filter(None, (pinned,))])
