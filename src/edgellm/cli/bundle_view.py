"""A bundle for people: what `show` prints."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from edgellm.bundle.adapters import adapter_path
from edgellm.cli.console import printable
from edgellm.units import format_bytes

__all__ = ["print_license", "print_record"]

_LONGEST_SHOWN = 600  # characters of a system prompt


def print_record(record: dict[str, Any]) -> None:
    """A record of ``show_record`` for people."""
    plan = record["plan"]
    memory = plan["predicted_memory"]
    licenses = ", ".join(record["licenses"]) or "not stated"
    source = plan["source"]
    revision = f" at {source['revision']}" if source.get("revision") else ""
    more_bytes = memory.get("adapter_bytes", 0)
    adapters = f"adapters {format_bytes(more_bytes)}, " if more_bytes else ""
    rows = [
        ("name", record["name"]),
        ("digest", record["digest"]),
        ("size", f"{format_bytes(record['size_bytes'])}, {record['parameters']} parameters, {plan['recipe']}"),
        ("device", f"{plan['target']['name']} with {format_bytes(plan['target']['memory_bytes'])}"),
        ("context", _context(plan)),
        ("vectors", _vectors(plan.get("encoder"))),
        (
            "memory",
            f"{format_bytes(memory['total_bytes'])} predicted: weights {format_bytes(memory['weights_bytes'])}, "
            f"repacked copy {format_bytes(memory['repack_bytes'])}, KV {format_bytes(memory['kv_bytes'])}, compute "
            f"{format_bytes(memory['compute_bytes'])}, {adapters}rest {format_bytes(memory['overhead_bytes'])}",
        ),
        ("decode", "" if plan.get("encoder") else _speed(plan.get("predicted_decode"))),
        ("prefill", _speed(plan.get("predicted_prefill"))),
        ("source", f"{source['kind']} {source['name']}{revision} ({source['architecture']})"),
        ("adapters", _adapters(record)),
        ("licence", licenses),
        ("files", ", ".join(file["path"] for file in record["files"])),
        ("why", plan.get("why") or "the recipe was given"),
    ]
    prompt = plan.get("system_prompt")
    if prompt:
        rows.insert(-1, ("system", f"{len(prompt['tokens'])} tokens: {_shortened(prompt['text'])}"))
    smoke = record["smoke"]
    if smoke:
        rows.append(
            (
                "smoke test",
                f"passed on this machine: {smoke['tokens_per_s']:.1f} tokens/s, loaded in {smoke['load_s']:.2f} s",
            )
        )
    for label, text in rows:
        if not text:
            continue
        lines = textwrap.wrap(printable(text), 100, break_long_words=False, break_on_hyphens=False)
        sys.stdout.write(f"{label:<11}" + f"\n{'':<11}".join(lines) + "\n")


def _context(plan: dict[str, Any]) -> str:
    if plan.get("encoder"):
        return f"texts of up to {plan['context']} tokens"
    return f"{plan['context']} tokens, {plan['sequences']} at a time, KV cache {plan['kv_type_k']}"


def _vectors(encoder: dict[str, Any] | None) -> str:
    """What an encoder makes of a text."""
    if not encoder:
        return ""
    pooled = {"cls": "the state of the first token", "last": "the state of the last token"}
    how = pooled.get(encoder.get("pooling", ""), "the mean of all tokens")
    return f"{encoder['dimensions']} numbers, {how}{', at a length of 1' if encoder.get('normalised') else ''}"


def _adapters(record: dict[str, Any]) -> str:
    sizes = {file["path"]: file["size_bytes"] for file in record["files"]}
    return ", ".join(
        f"{adapter['name']} (rank {adapter['rank']}, {format_bytes(sizes[adapter_path(adapter['name'])])})"
        for adapter in record["plan"].get("adapters", ())
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} ... (--json shows all)"


def _speed(value: dict[str, Any] | None) -> str:
    if value is None:
        return "not known for this device"
    return f"{value['low']:g} to {value['high']:g} tokens/s predicted ({value['basis']})"


def print_license(record: dict[str, Any]) -> None:
    """The identifier alone on the first line, then the texts that travelled along."""
    sys.stdout.write((" AND ".join(record["licenses"]) or "not stated by the source") + "\n")
    for document in record["documents"]:
        sys.stdout.write(f"\n--- {document['path']} ---\n{printable(document['text']).rstrip()}\n")
