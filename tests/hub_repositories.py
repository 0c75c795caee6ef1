"""The repositories behind tests/hub_server.py: folders, with the hashes, commits and descriptions of a hub."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LFS_SUFFIXES = (".gguf", ".safetensors", ".bin", ".pt", ".onnx", ".model")


def git_blob_sha1(size_bytes: int, file: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size_bytes)
    with file.open("rb") as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file of a commit."""

    path: str
    file: Path
    size_bytes: int
    sha256: str
    git_sha1: str  # of the content; for a file of Git LFS, of its pointer
    lfs: bool
    pointer_size: int


@dataclass(frozen=True)
class Commit:
    """A repository at one commit."""

    repo_id: str
    sha: str
    entries: tuple[Entry, ...]

    def entry(self, path: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.path == path), None)

    def info(self, *, gated: str | bool, private: bool, blobs: bool) -> dict[str, Any]:
        """What /api/models/ID answers."""
        return {
            "_id": self.sha[:24],
            "id": self.repo_id,
            "modelId": self.repo_id,
            "author": self.repo_id.split("/", 1)[0],
            "sha": self.sha,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "private": private,
            "disabled": False,
            "gated": gated,
            "tags": ["gguf", "region:us"],
            "downloads": 1,
            "likes": 0,
            "cardData": self._card(),
            "siblings": [self._sibling(entry, blobs) for entry in self.entries],
        }

    def tree(self) -> list[dict[str, Any]]:
        """What /api/models/ID/tree/REVISION?recursive=true answers."""
        folders = sorted({str(parent) for e in self.entries for parent in list(Path(e.path).parents)[:-1]})
        rows: list[dict[str, Any]] = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in folders]
        for entry in self.entries:
            row: dict[str, Any] = {
                "type": "file",
                "oid": entry.git_sha1,
                "size": entry.size_bytes,
                "path": entry.path,
            }
            if entry.lfs:
                row["lfs"] = {"oid": entry.sha256, "size": entry.size_bytes, "pointerSize": entry.pointer_size}
            rows.append(row)
        return rows

    def _sibling(self, entry: Entry, blobs: bool) -> dict[str, Any]:
        row: dict[str, Any] = {"rfilename": entry.path}
        if blobs:
            row |= {"size": entry.size_bytes, "blobId": entry.git_sha1}
            if entry.lfs:
                row["lfs"] = {
                    "sha256": entry.sha256,
                    "size": entry.size_bytes,
                    "pointerSize": entry.pointer_size,
                }
        return row

    def _card(self) -> dict[str, Any]:
        """The front matter of README.md: ``key: value`` lines and lists of ``- value``."""
        readme = self.entry("README.md")
        lines = readme.file.read_text(encoding="utf-8").splitlines() if readme else []
        card: dict[str, Any] = {}
        key = ""
        if not lines or lines[0] != "---":
            return card
        for line in lines[1:]:
            if line == "---":
                break
            if line.lstrip().startswith("- "):
                card[key] = [*(card[key] or []), line.lstrip()[2:].strip()]
            else:
                key, _, value = line.partition(":")
                card[key] = value.strip() or None
        return card


class Repositories:
    """All repositories below a folder; other revisions than main come from folders of their own."""

    def __init__(self, root: Path, revisions: dict[str, dict[str, Path]]) -> None:
        self._root = root
        self._revisions = revisions
        self._entries: dict[tuple[Path, int, int], Entry] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return sorted(f"{repo.parent.name}/{repo.name}" for repo in self._root.glob("*/*") if repo.is_dir())

    def has(self, repo_id: str) -> bool:
        return repo_id in self.names()

    def commit(self, repo_id: str, revision: str) -> Commit | None:
        """The commit of a branch, a tag or a full hash."""
        named = {"main": self._root / repo_id, **self._revisions.get(repo_id, {})}
        for name, folder in named.items():
            commit = self._read(repo_id, folder)
            if revision in (name, commit.sha):
                return commit
        return None

    def _read(self, repo_id: str, folder: Path) -> Commit:
        with self._lock:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            entries = tuple(self._entry(path, path.relative_to(folder).as_posix()) for path in files)
        listing = "".join(f"{entry.git_sha1} {entry.path}\n" for entry in entries)
        return Commit(repo_id, hashlib.sha1(f"{repo_id}\n{listing}".encode()).hexdigest(), entries)

    def _entry(self, file: Path, path: str) -> Entry:
        status = file.stat()
        key = (file, status.st_size, status.st_mtime_ns)
        if key not in self._entries:
            with file.open("rb") as source:
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            lfs = file.suffix in LFS_SUFFIXES
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {status.st_size}\n".encode()
            )
            git_sha1 = (
                hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
                if lfs
                else git_blob_sha1(status.st_size, file)
            )
            self._entries[key] = Entry(path, file, status.st_size, sha256, git_sha1, lfs, len(pointer))
        return self._entries[key]
