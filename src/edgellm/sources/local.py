"""Models that are already on this machine: a checkpoint folder or a GGUF file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgellm.errors import NotFoundError, UsageError
from edgellm.files import os_errors

__all__ = ["LocalSource", "is_source_text", "open_source"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class LocalSource:
    """A model on this machine."""

    kind: Literal["checkpoint", "gguf"]
    path: Path
    name: str  # the folder's or the file's name, without its suffix


def is_source_text(text: str) -> bool:
    """True when ``text`` names a path rather than a bundle: it exists, or is written like a path."""
    return (
        text.startswith(("/", "./", "../", "~")) or text.endswith(".gguf") or text in (".", "..") or Path(text).exists()
    )


def open_source(text: str) -> LocalSource:
    """Find out what ``text`` names. Raises NotFoundError or UsageError that say what is read."""
    if "\0" in text:
        raise UsageError("a path cannot hold a NUL character")
    path = Path(text).expanduser()
    with os_errors(f"read {text[:200]}"):
        exists = path.exists()
    if not exists:
        if _HUB_ID.fullmatch(text):
            raise NotFoundError(
                f"there is no folder or GGUF file {text!r} here",
                hint=f"for a model of a hub, download it first: hf download {text} --local-dir {text.split('/')[1]}",
            )
        raise NotFoundError(f"{text} does not exist", hint="give a checkpoint folder or a GGUF file")
    if path.is_dir():
        if not (path / "config.json").exists():
            ggufs = sorted(file.name for file in path.glob("*.gguf"))
            hint = (
                f"give one of the GGUF files in it: {', '.join(ggufs[:5])}"
                if ggufs
                else "a checkpoint folder holds config.json, *.safetensors and a tokenizer"
            )
            raise UsageError(f"{path} is not a checkpoint: it has no config.json", hint=hint)
        return LocalSource("checkpoint", path, path.resolve().name)
    if not path.is_file():
        raise UsageError(f"{path} is neither a folder nor a file")
    with os_errors(f"read {path}"), path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        in_folder = path.name.endswith((".safetensors", ".json", ".bin"))
        raise UsageError(
            f"{path} is not a GGUF file",
            hint="give the folder that holds it" if in_folder else "give a checkpoint folder or a GGUF file",
        )
    return LocalSource("gguf", path, path.name.removesuffix(".gguf"))
