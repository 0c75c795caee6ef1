"""Bundles as rows and records: what `list` and `show` print."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

from edgellm.bundle.adapters import adapter_path
from edgellm.cli.console import printable
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.store.listing import StoredBundle

__all__ = ["license_record", "list_row", "print_license", "print_record", "show_record"]

_LONGEST_SHOWN = 600  # characters of a system prompt


def list_row(stored: StoredBundle) -> dict[str, Any]:
    """One bundle as `list --json` gives it."""
    plan = stored.plan
    config = stored.bundle.config if stored.bundle else None
    return {
        "name": stored.full_name,
        "digest": stored.digest,
        "store": "system" if stored.system else "user",
        "device": plan.target.id if plan else None,
        "recipe": plan.recipe if plan else None,
        "parameters": config.config.param_size if config else None,
        "context": plan.context if plan else None,
        "size_bytes": stored.size_bytes,
        "shared_bytes": stored.shared_bytes,
        "previous_digest": stored.previous_digest,
        "licenses": list(config.descriptor.licenses) if config else [],
        "problem": stored.problem,
    }


def show_record(bundle: OpenBundle, smoke: dict[str, Any] | None) -> dict[str, Any]:
    """One bundle as `show --json` gives it."""
    import msgspec

    files = (*bundle.bundle.weights, *bundle.bundle.adapters.values(), *bundle.bundle.docs)
    return {
        "name": bundle.name,
        "digest": bundle.digest,
        "size_bytes": bundle.size_bytes,
        "parameters": bundle.config.config.param_size,
        "licenses": list(bundle.config.descriptor.licenses),
        "weights_path": str(bundle.weights_path),
        "adapter_paths": {name: str(path) for name, path in bundle.adapter_paths.items()},
        "files": [{"path": file.path, "digest": file.digest, "size_bytes": file.size_bytes} for file in files],
        "plan": msgspec.to_builtins(bundle.plan),
        "smoke": smoke,
    }


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
        ("context", f"{plan['context']} tokens, {plan['sequences']} at a time, KV cache {plan['kv_type_k']}"),
        (
            "memory",
            f"{format_bytes(memory['total_bytes'])} predicted: weights {format_bytes(memory['weights_bytes'])}, "
            f"repacked copy {format_bytes(memory['repack_bytes'])}, KV {format_bytes(memory['kv_bytes'])}, compute "
            f"{format_bytes(memory['compute_bytes'])}, {adapters}rest {format_bytes(memory['overhead_bytes'])}",
        ),
        ("decode", _speed(plan.get("predicted_decode"))),
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


def license_record(bundle: OpenBundle) -> dict[str, Any]:
    """Identifiers and texts of a bundle's licence."""
    return {
        "name": bundle.name,
        "licenses": list(bundle.config.descriptor.licenses),
        "documents": [
            {"path": file.path, "text": bundle.read_doc(file.path).decode("utf-8", "replace")}
            for file in bundle.license_docs()
        ],
    }


def print_license(record: dict[str, Any]) -> None:
    """The identifier alone on the first line, then the texts that travelled along."""
    sys.stdout.write((" AND ".join(record["licenses"]) or "not stated by the source") + "\n")
    for document in record["documents"]:
        sys.stdout.write(f"\n--- {document['path']} ---\n{printable(document['text']).rstrip()}\n")
