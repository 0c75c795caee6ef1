"""The front matter of a model card, read once and with care."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from edgellm.errors import CheckpointError
from edgellm.files import os_errors

__all__ = ["front_matter"]

_CARD_LIMIT_BYTES = 4 << 20
_FRONT_MATTER_LIMIT_BYTES = 64 << 10


def front_matter(card: Path) -> dict[str, Any]:
    """The YAML between the two ``---`` at the top of ``card``; empty without any.

    Raises CheckpointError for front matter that is not YAML, does not end, or would grow when it is read: YAML aliases
    let a few lines stand for millions, and model cards have no use for them.
    """
    yaml: Any = import_module("yaml")  # a dependency of gguf, without type stubs
    with os_errors(f"read {card}"), card.open("rb") as file:
        head = file.read(_FRONT_MATTER_LIMIT_BYTES)
        size_bytes = file.seek(0, 2)
    lines = head.decode("utf-8-sig", "replace").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    try:
        if size_bytes > _CARD_LIMIT_BYTES or "---" not in lines[1:]:
            raise ValueError
        text = "\n".join(lines[1 : lines.index("---", 1)]).replace("\t", "  ")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError
        fields = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"the front matter of {card} cannot be read ({type(error).__name__})",
            hint="correct or remove the lines between the two --- at its top",
        ) from error
    return fields if isinstance(fields, dict) else {}
