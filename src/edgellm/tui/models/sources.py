"""What a user typed as the source of a model: something of a hub, or files of this disk."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from edgellm.errors import NotFoundError, UsageError
from edgellm.paths import user_path

__all__ = ["LocalModel", "find_local"]

_PATH = re.compile(r"[./~]|.*\.gguf$", re.IGNORECASE)
_PART = re.compile(r"(.*)-\d{5}-of-(\d{5})\.gguf", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}")
_SUFFIXES = {".safetensors", ".json", ".model", ".txt", ".jinja", ".md"}
_BARE = {"license", "licence", "notice", "copying"}


class LocalModel(msgspec.Struct, frozen=True):
    """A GGUF file, all parts of a split one, or the files of a checkpoint's folder."""

    path: Path
    files: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in self.files)


def find_local(text: str) -> LocalModel | None:
    """The files that ``text`` names; None where it can only mean a model of a hub.

    Raises NotFoundError for a path that leads nowhere, UsageError for a folder without a model.
    """
    path = user_path(text).absolute()
    if not _PATH.match(text) and not path.is_file() and not (path / "config.json").is_file():
        return None
    if path.is_file():
        return LocalModel(path, _parts(path))
    if not path.is_dir():
        raise NotFoundError(f"there is no {path}", hint="give a GGUF file, the folder of a checkpoint, or OWNER/MODEL")
    return LocalModel(path, _of_folder(path))


def _parts(path: Path) -> tuple[Path, ...]:
    """A split GGUF is all of its parts."""
    match = _PART.fullmatch(path.name)
    if match is None:
        return (path,)
    count = int(match[2])
    parts = tuple(path.with_name(f"{match[1]}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1))
    missing = next((part for part in parts if not part.is_file()), None)
    if missing is not None:
        raise NotFoundError(f"{path.name} has {count} parts, and {missing.name} is not there", hint="fetch it too")
    return parts


def _of_folder(folder: Path) -> tuple[Path, ...]:
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file() and _NAME.fullmatch(entry.name))
    if not (folder / "config.json").is_file():
        ggufs = [entry for entry in entries if entry.suffix.lower() == ".gguf"]
        if not ggufs:
            raise UsageError(
                f"{folder} holds neither a checkpoint (config.json) nor a GGUF file",
                hint="give the folder that config.json lies in",
            )
        if len(_parts(ggufs[0])) != len(ggufs):
            raise UsageError(f"{folder} holds {len(ggufs)} GGUF files", hint=f"give one of them: {ggufs[0].name}")
        return _parts(ggufs[0])
    return tuple(entry for entry in entries if entry.suffix.lower() in _SUFFIXES or entry.stem.lower() in _BARE)
