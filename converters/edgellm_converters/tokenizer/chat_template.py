"""The chat template of a checkpoint: one, or several by name."""

from __future__ import annotations

import re
from typing import Any

from edgellm.errors import CheckpointError
from edgellm_converters.tokenizer.files import TokenizerFiles
from edgellm_converters.tokenizer.vocabulary import ChatTemplates

__all__ = ["chat_templates"]

_LIMIT_CHARACTERS = 1 << 20
_HINT = "fetch the file again, or give the template in chat_template.jinja"


def chat_templates(files: TokenizerFiles) -> ChatTemplates:
    """Templates of tokenizer_config.json, else of chat_template.jinja or chat_template.json.

    Raises CheckpointError when a template is not text.
    """
    template: Any = files.config.get("chat_template")
    more: dict[str, str] = {}
    if template is None:
        template, more = files.template, files.more_templates
    if template is None:
        return ChatTemplates(None, {})
    if isinstance(template, str):
        return ChatTemplates(_checked(template), {_name(name): _checked(text) for name, text in more.items()})
    if not isinstance(template, list):
        raise CheckpointError(f"chat_template is a {type(template).__name__}, not text", hint=_HINT)
    default: str | None = None
    named = {}
    for entry in template:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise CheckpointError("chat_template lists an entry without a name", hint=_HINT)
        text = _checked(entry.get("template"))
        if entry["name"] == "default":
            default = text
        elif name := _name(entry["name"]):
            named[name] = text
    return ChatTemplates(default, named)


def _checked(template: object) -> str:
    if not isinstance(template, str):
        raise CheckpointError(f"chat_template is a {type(template).__name__}, not text", hint=_HINT)
    if len(template) > _LIMIT_CHARACTERS:
        raise CheckpointError(f"chat_template has {len(template)} characters, more than any template has", hint=_HINT)
    if "\0" in template or any("\ud800" <= character <= "\udfff" for character in template):
        raise CheckpointError("chat_template has characters that are not text", hint=_HINT)
    return template


def _name(name: str) -> str:
    """``name`` with everything but ASCII letters and digits replaced: it becomes part of a GGUF key."""
    return re.sub(r"[^A-Za-z0-9]", "_", name)
