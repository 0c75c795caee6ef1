"""A bundle that is ready to be loaded: its plan, and its weights where they lie."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgellm.bundle.contained import read_single_bundle
from edgellm.bundle.folder_layout import FolderLayout
from edgellm.bundle.index import LAYOUT_FILE
from edgellm.bundle.layout import open_layout, read_blob
from edgellm.bundle.manifest import Manifest, ModelConfig
from edgellm.bundle.plan import Plan
from edgellm.bundle.reading import Bundle, BundleFile
from edgellm.bundle.verify import entry_label
from edgellm.errors import NotFoundError, UsageError
from edgellm.files import os_errors

__all__ = ["OpenBundle", "hold_blob", "is_layout", "open_bundle"]


@dataclass(frozen=True)
class OpenBundle:
    """A checked bundle in a folder or in the store. ``name`` is what it is called there."""

    name: str
    bundle: Bundle
    layout: FolderLayout

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return self.bundle.digest

    @property
    def plan(self) -> Plan:
        """How to run it."""
        return self.bundle.plan

    @property
    def manifest(self) -> Manifest:
        """The OCI manifest."""
        return self.bundle.manifest

    @property
    def config(self) -> ModelConfig:
        """The ModelPack config: names, licences, facts about the model."""
        return self.bundle.config

    @property
    def size_bytes(self) -> int:
        """Bytes of all its blobs, each counted once."""
        return self.bundle.size_bytes

    @property
    def weights_path(self) -> Path:
        """The model file itself, to be memory-mapped where it lies: a blob, so its name has no suffix."""
        return self.layout.blob_path(self.bundle.model_file.digest)

    @property
    def files(self) -> dict[str, Path]:
        """The files of a model that has several, by their names; nothing where ``weights_path`` is all of it."""
        if len(self.bundle.weights) == 1:
            return {}
        return {file.path: self.layout.blob_path(file.digest) for file in self.bundle.weights}

    @property
    def adapter_paths(self) -> dict[str, Path]:
        """The file of every adapter, by name; see ``weights_path``."""
        return {name: self.layout.blob_path(file.digest) for name, file in self.bundle.adapters.items()}

    def read_doc(self, path: str) -> bytes:
        """The bytes of one document (a path of ``bundle.docs``), checked. Raises NotFoundError, BundleError."""
        for file in self.bundle.docs:
            if file.path == path:
                return read_blob(self.layout, file.digest, file.size_bytes, f"{self.name}: {path}")
        raise NotFoundError(f"{self.name} has no document {path!r}")

    def license_docs(self) -> tuple[BundleFile, ...]:
        """The documents that state terms: licence, notices, use policy, of the model and of its adapters."""
        prefixes = ("license", "licence", "copying", "notice", "use_policy", "use-policy", "usepolicy")
        return tuple(file for file in self.bundle.docs if file.path.lower().rpartition("/")[2].startswith(prefixes))

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep gc from removing the blobs while the block runs, also in other processes; a crash lets go.

        Raises NotFoundError when the bundle was removed since it was opened.
        """
        with contextlib.ExitStack() as stack:
            for digest in self.bundle.blobs:
                stack.callback(os.close, hold_blob(self.layout.blob_path(digest), self.name))
            yield


def hold_blob(path: Path, name: str) -> int:
    """A file descriptor with a shared lock on a blob; closing it lets go. Raises NotFoundError when it is gone."""
    with os_errors(f"read {path}"):
        while True:
            try:
                file_descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise NotFoundError(f"{name} was removed meanwhile") from error
            fcntl.flock(file_descriptor, fcntl.LOCK_SH)
            if os.fstat(file_descriptor).st_nlink > 0:
                return file_descriptor
            os.close(file_descriptor)  # removed or replaced between open and flock: look again


def is_layout(path: Path) -> bool:
    """True for a folder that says it is an OCI image layout."""
    return (path / LAYOUT_FILE).is_file()


def open_bundle(folder: Path) -> OpenBundle:
    """The only bundle in a layout folder, as ``--output DIR`` writes it.

    Raises BundleError, UnsupportedError, and UsageError for a tar file: weights are mapped from a file of their own.
    """
    layout = open_layout(folder)
    if not isinstance(layout, FolderLayout):
        raise UsageError(
            f"{folder} is a packed archive; a model is loaded from a folder",
            hint=f"unpack it: mkdir bundle && tar -C bundle -xf {folder}",
        )
    entry, bundle = read_single_bundle(layout)
    return OpenBundle(entry_label(entry), bundle, layout)
