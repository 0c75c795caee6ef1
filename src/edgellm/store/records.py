"""Bundles as rows and records: what `list --json` and `show --json` print, and the server's routes give."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.bundle.opened import OpenBundle
from edgellm.store.listing import StoredBundle

__all__ = ["license_record", "list_row", "show_record"]


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
