"""The tokenizer files of a checkpoint folder: found, bounded, parsed, and checked for the type of what is taken."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.files import os_errors
from edgellm.units import format_bytes

__all__ = ["LOOKED_FOR", "TokenizerFiles", "open_tokenizer_files", "read_json_object", "take"]

LOOKED_FOR = ("tokenizer.json", "tokenizer.model")
_JSON_LIMIT_BYTES = 256 << 20  # tokenizer.json of 256,000 tokens takes about 33 MB
_MODEL_LIMIT_BYTES = 64 << 20
_TEXT_LIMIT_BYTES = 4 << 20

_T = TypeVar("_T")


@dataclass(frozen=True)
class TokenizerFiles:
    """Parsed content of the tokenizer files; what is absent is None or empty."""

    folder: Path
    tokenizer: dict[str, Any] | None = None  # tokenizer.json
    sentencepiece: bytes | None = None  # tokenizer.model
    config: dict[str, Any] = field(default_factory=dict)  # tokenizer_config.json
    added_tokens: dict[str, Any] = field(default_factory=dict)  # added_tokens.json
    generation_config: dict[str, Any] = field(default_factory=dict)
    template: Any = None  # chat_template.jinja, or what chat_template.json holds
    more_templates: dict[str, str] = field(default_factory=dict)  # additional_chat_templates/*.jinja
    sources: tuple[Path, ...] = ()


def open_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Read every tokenizer file of ``folder``.

    Raises CheckpointError when there is no vocabulary, or a file is torn or of the wrong shape; UnsupportedError for
    forms of a vocabulary that we do not read.
    """
    with os_errors(f"read the tokenizer files in {folder}"):
        return _open(folder)


def _open(folder: Path) -> TokenizerFiles:
    paths = {name: folder / name for name in LOOKED_FOR}
    if not any(path.is_file() for path in paths.values()):
        raise _no_vocabulary(folder)
    sources = [path for path in paths.values() if path.is_file()]

    def optional(name: str) -> dict[str, Any]:
        path = folder / name
        if not path.is_file():
            return {}
        sources.append(path)
        return read_json_object(path)

    has_json, has_model = paths["tokenizer.json"].is_file(), paths["tokenizer.model"].is_file()
    tokenizer = read_json_object(paths["tokenizer.json"]) if has_json else None
    sentencepiece = _read(paths["tokenizer.model"], _MODEL_LIMIT_BYTES) if has_model else None
    config = optional("tokenizer_config.json")
    template: Any = None
    more: dict[str, str] = {}
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        sources.append(jinja)
        template = _read_text(jinja)
        for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))[:32]:
            sources.append(path)
            more[path.stem] = _read_text(path)
    else:
        template = optional("chat_template.json").get("chat_template")
    return TokenizerFiles(
        folder=folder,
        tokenizer=tokenizer,
        sentencepiece=sentencepiece,
        config=config,
        added_tokens=optional("added_tokens.json"),
        generation_config=optional("generation_config.json"),
        template=template,
        more_templates=more,
        sources=tuple(sources),
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``. Raises CheckpointError for anything else."""
    try:
        value = json.loads(_read(path, _JSON_LIMIT_BYTES))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not valid JSON: {error}", hint="the file is torn or not what it claims to be: fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, not an object", hint="fetch the file again")
    return value


def take(owner: dict[str, Any], key: str, kind: type[_T], where: str, default: _T | None = None) -> _T:
    """``owner[key]`` when it is a ``kind``; ``default`` when it is absent or null. Raises CheckpointError otherwise."""
    value = owner.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = "is missing" if value is None else f"is a {type(value).__name__}, not a {kind.__name__}"
        raise CheckpointError(f"{key!r} in {where} {found}", hint="the file is damaged: fetch it again")
    return value


def _read(path: Path, limit_bytes: int) -> bytes:
    with os_errors(f"read {path}"), path.open("rb") as file:
        size_bytes = file.seek(0, 2)
        if size_bytes > limit_bytes:
            raise CheckpointError(
                f"{path} has {format_bytes(size_bytes)}; such a file has at most {format_bytes(limit_bytes)}",
                hint="check that the folder is the checkpoint that you mean",
            )
        file.seek(0)
        return file.read(size_bytes)


def _read_text(path: Path) -> str:
    try:
        return _read(path, _TEXT_LIMIT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text", hint="fetch the file again") from error


def _no_vocabulary(folder: Path) -> CheckpointError | UnsupportedError:
    looked_for = " or ".join(LOOKED_FOR)
    for other, how in {
        "vocab.json": "save it once with transformers' fast tokenizer: AutoTokenizer.from_pretrained(...)."
        "save_pretrained(...) writes tokenizer.json",
        "tekken.json": "use the variant of the checkpoint that has tokenizer.json",
        "vocab.txt": "save it once with transformers' fast tokenizer: AutoTokenizer.from_pretrained(...)."
        "save_pretrained(...) writes tokenizer.json",
    }.items():
        if (folder / other).is_file():
            return UnsupportedError(f"{folder} has its vocabulary in {other}; edgellm reads {looked_for}", hint=how)
    return CheckpointError(
        f"{folder} has no tokenizer: neither {LOOKED_FOR[0]} nor {LOOKED_FOR[1]} is there",
        hint="copy the tokenizer files of the checkpoint beside config.json",
    )
