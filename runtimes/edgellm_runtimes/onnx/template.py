"""The chat template of a model's tokenizer files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edgellm.errors import ModelFileError
from edgellm_runtimes.onnx.files import TOKENIZER_CONFIG

if TYPE_CHECKING:
    from edgellm_runtimes.onnx.files import OnnxFiles

__all__ = ["chat_template", "tokenizer_config"]

_TEMPLATE = "chat_template.jinja"
_MAIN = "default"


def tokenizer_config(files: OnnxFiles) -> dict[str, Any]:
    """tokenizer_config.json; empty where there is none. Raises ModelFileError."""
    if not files.has(TOKENIZER_CONFIG):
        return {}
    try:
        return msgspec.json.decode(files.text(TOKENIZER_CONFIG), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{files.path}: {TOKENIZER_CONFIG} is not valid: {error}") from error


def chat_template(files: OnnxFiles) -> str | None:
    """The template, the main one where there are several; None where there is none."""
    if files.has(_TEMPLATE):
        return files.text(_TEMPLATE).decode("utf-8", "replace")
    found = tokenizer_config(files).get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get(_MAIN)
    return found if isinstance(found, str) and found else None
