"""What may be fetched or made again: our own cache folder, and the models in the cache of all Hugging Face tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgellm.files import os_errors, tree_bytes
from edgellm.sources.download.leftovers import Download, list_downloads, remove_downloads
from edgellm.sources.download.locks import try_lock

__all__ = [
    "CachedModel",
    "cache_bytes",
    "cached_models",
    "clear_cache",
    "partial_checkpoints",
    "remove_cached_models",
    "remove_partial_checkpoints",
]

_MODELS = "models--*"
_LOCKS = ".locks"


class CachedModel(msgspec.Struct, frozen=True):
    """One repository in the shared cache. ``held``: a tool is downloading it now."""

    name: str  # OWNER/MODEL
    path: str
    size_bytes: int  # without what has not arrived whole: see partial_checkpoints
    held: bool


def cache_bytes(folder: Path) -> int:
    """Bytes of everything in our cache folder; 0 when there is none."""
    return tree_bytes(folder) if folder.is_dir() else 0


def clear_cache(folder: Path, *, dry_run: bool = False) -> tuple[int, int]:
    """Empty our cache folder; returns the bytes freed, and how many entries stay because a process holds their lock.

    What is in it can be made again. Raises AccessError.
    """
    freed_bytes, held = 0, 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with _unlocked(path) as free:
            if not free:
                held += 1
                continue
            size_bytes = tree_bytes(path)
            if not dry_run:
                with os_errors(f"clean the cache {folder}"):
                    _remove(path)
            freed_bytes += size_bytes
    return freed_bytes, held


def cached_models(folder: Path) -> list[CachedModel]:
    """The models in the shared cache, counted by their blobs: what else is there links to these."""
    return list(_models(folder))


def partial_checkpoints(folder: Path) -> list[Download]:
    """Files of checkpoints that we were fetching into the shared cache: what stopped on the way there is ours."""
    return [
        download
        for path in _model_folders(folder)
        for download in list_downloads(path / "blobs")
        if download.state == "partial"
    ]


def remove_partial_checkpoints(folder: Path, *, dry_run: bool = False) -> list[Download]:
    """Remove those that no process is fetching; returns them. Files that are whole are everybody's, and stay."""
    return [
        download
        for path in _model_folders(folder)
        for download in remove_downloads(path / "blobs", dry_run=dry_run, finished=False)
    ]


def remove_cached_models(folder: Path, *, dry_run: bool = False) -> list[CachedModel]:
    """Remove the models that no tool is downloading from the shared cache; returns them. Raises AccessError.

    Files that a program has open stay readable for it.
    """
    removed = [model for model in cached_models(folder) if not model.held]
    for model in removed if not dry_run else ():
        with os_errors(f"clean the cache {folder}"):
            _remove(Path(model.path))
    return removed


def _models(folder: Path) -> Iterator[CachedModel]:
    for path in _model_folders(folder):
        blobs = path / "blobs"
        size_bytes = tree_bytes(blobs) if blobs.is_dir() else tree_bytes(path)
        size_bytes -= sum(tree_bytes(part.path) for part in list_downloads(blobs) if part.state == "partial")
        name = path.name.removeprefix("models--").replace("--", "/")
        yield CachedModel(name, str(path), max(0, size_bytes), _is_held(folder / _LOCKS / path.name))


def _model_folders(folder: Path) -> list[Path]:
    found = sorted(folder.glob(_MODELS)) if folder.is_dir() else []
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _is_held(locks: Path) -> bool:
    """huggingface_hub and edgellm hold an flock on a file here for each blob that they download."""
    for path in locks.glob("*.lock") if locks.is_dir() else ():
        with _unlocked(path) as free:
            if not free:
                return True
    return False


@contextmanager
def _unlocked(path: Path) -> Iterator[bool]:
    """False when a process holds the flock of a file or folder; else it is held here, where that can be done at all."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone, a link, or not for this user
        yield True
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
