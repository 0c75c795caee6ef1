"""What a user typed as the source of a model: something of a hub, or files of this disk."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from edgellm.bundle.names import sanitize_name
from edgellm.errors import NotFoundError, UsageError
from edgellm.files import os_errors
from edgellm.formats.sentence_files import is_sentence_file
from edgellm.paths import user_path

__all__ = ["LocalModel", "find_local"]

_PATH = re.compile(r"[./~]|.*\.gguf$", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}")
_MAGIC = b"GGUF"
_OF_CHECKPOINTS = {".safetensors", ".json", ".bin", ".model"}
_SUFFIXES = {".safetensors", ".json", ".model", ".txt", ".jinja", ".md"}
_BARE = {"license", "licence", "notice", "copying"}


class LocalModel(msgspec.Struct, frozen=True):
    """A GGUF file, all parts of a split one, or the files of a checkpoint's folder."""

    path: Path
    files: tuple[Path, ...]
    folder: str = ""  # the name of a checkpoint's folder, which the bundle is called after

    @property
    def names(self) -> dict[str, Path]:
        """The files by the names that the server gives them: those of a checkpoint's folders have the folder's too."""
        if not self.folder:
            return {file.name: file for file in self.files}
        return {file.relative_to(self.path).as_posix(): file for file in self.files}

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in self.files)


def find_local(text: str) -> LocalModel | None:
    """The files that ``text`` names; None where it can only mean a model of a hub.

    Raises NotFoundError for a path that leads nowhere, UsageError for a folder without a model and for other files.
    """
    path = user_path(text).absolute()
    if not _PATH.match(text) and not path.is_file() and not (path / "config.json").is_file():
        return None
    if path.is_file():
        return LocalModel(path, _parts(path))
    if not path.is_dir():
        raise NotFoundError(f"there is no {path}", hint="give a GGUF file, the folder of a checkpoint, or OWNER/MODEL")
    if not (path / "config.json").is_file():
        return LocalModel(path, _of_folder(path))
    name = path.resolve().name
    return LocalModel(path, _of_checkpoint(path), name if _NAME.fullmatch(name) else sanitize_name(name))


def _parts(path: Path) -> tuple[Path, ...]:
    """A split GGUF is all of its parts. What is no GGUF is not sent to the server, which knows no path of it."""
    from edgellm.formats.gguf_split import find_parts

    with os_errors(f"read {path}"), path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if magic == _MAGIC:
        return find_parts(path)
    in_folder = path.suffix.lower() in _OF_CHECKPOINTS
    raise UsageError(
        f"{path} is not a GGUF file",
        hint=f"give its folder: {path.parent}" if in_folder else "give a GGUF file, or the folder of a checkpoint",
    )


def _of_checkpoint(folder: Path) -> tuple[Path, ...]:
    own = [entry for entry in _entries(folder) if entry.suffix.lower() in _SUFFIXES or entry.stem.lower() in _BARE]
    return (*own, *_of_modules(folder))


def _of_modules(folder: Path) -> list[Path]:
    """What sentence-transformers says in folders of their own: `1_Pooling/config.json`. Not through links."""
    with os_errors(f"read {folder}"):
        inner = [entry / "config.json" for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
        return sorted(
            path for path in inner if is_sentence_file(path.relative_to(folder).as_posix()) and path.is_file()
        )


def _entries(folder: Path) -> list[Path]:
    with os_errors(f"read {folder}"):
        return sorted(entry for entry in folder.iterdir() if entry.is_file() and _NAME.fullmatch(entry.name))


def _of_folder(folder: Path) -> tuple[Path, ...]:
    """The one GGUF in it, whole or in parts."""
    ggufs = [entry for entry in _entries(folder) if entry.suffix.lower() == ".gguf"]
    if not ggufs:
        raise UsageError(
            f"{folder} holds neither a checkpoint (config.json) nor a GGUF file",
            hint="give the folder that config.json lies in",
        )
    parts = _parts(ggufs[0])
    if len(parts) != len(ggufs):
        raise UsageError(f"{folder} holds {len(ggufs)} GGUF files", hint=f"give one of them: {ggufs[0].name}")
    return parts
