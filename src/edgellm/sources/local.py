"""Models that are already on this machine: a checkpoint folder, a GGUF file or the parts of a split one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgellm.errors import NotFoundError, UsageError
from edgellm.files import os_errors
from edgellm.formats.gguf_split import find_parts, model_name
from edgellm.paths import user_path

__all__ = ["LocalSource", "hub_hint", "is_hub_id", "is_path_text", "open_source"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class LocalSource:
    """A model on this machine.

    ``parts`` are the files of a GGUF, in order: of a split one all of them, the first one being ``path``, whatever they
    are called; of a whole one ``path`` alone, which need not be given. A checkpoint has none.
    """

    kind: Literal["checkpoint", "gguf"]
    path: Path
    name: str  # the folder's or the file's name, without its suffix and the number of a part
    parts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "gguf" and not self.parts:
            object.__setattr__(self, "parts", (self.path,))


def is_path_text(text: str) -> bool:
    """True when ``text`` can only mean a path, never the name of a bundle."""
    return text.startswith(("/", "./", "../", "~")) or text.endswith((".gguf", ".tar")) or text in (".", "..")


def is_hub_id(text: str) -> bool:
    """True for what looks like OWNER/MODEL of a model hub."""
    return _HUB_ID.fullmatch(text) is not None


def hub_hint(text: str) -> str:
    """How to get a model of a hub."""
    return f"for a model of a hub: edgellm pull {text}"


def open_source(text: str) -> LocalSource:
    """Find out what ``text`` names; any part of a split GGUF stands for all of them.

    Raises NotFoundError or UsageError that say what is read.
    """
    path = user_path(text)
    with os_errors(f"read {text[:200]}"):
        exists = path.exists()
    if not exists:
        if is_hub_id(text):
            raise NotFoundError(f"there is no folder or GGUF file {text!r} here", hint=hub_hint(text))
        raise NotFoundError(
            f"{text} does not exist", hint="give a checkpoint folder, a GGUF file, or OWNER/MODEL of a hub"
        )
    if path.is_dir():
        if not (path / "config.json").exists():
            if (path / "adapter_config.json").exists():
                raise UsageError(
                    f"{path} is a LoRA adapter, not a model",
                    hint=f"pack it with its base model: edgellm pack MODEL --adapter NAME={path}",
                )
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
            hint=f"give the folder that holds it: {path.parent}"
            if in_folder
            else "give a checkpoint folder or a GGUF file",
        )
    parts = find_parts(path)
    return LocalSource("gguf", parts[0], model_name(path.name), parts)
