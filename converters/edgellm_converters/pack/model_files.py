"""The files of a model in the bundles of a pack: the large one, written once, and what belongs to it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.bundle.contents import FileLayer

if TYPE_CHECKING:
    from edgellm.bundle.manifest import Descriptor
    from edgellm.bundle.writer import BundleWriter
    from edgellm.progress import CancelToken, Progress
    from edgellm_converters.pack.model_input import ModelInput
    from edgellm_converters.pack.request import KvRanges

__all__ = ["ModelFiles", "SmallFileWriter", "write_large_files"]


@dataclass(frozen=True)
class ModelFiles:
    """The model of one bundle. ``weights``: the file to load first, then what it needs."""

    weights: tuple[FileLayer, ...]
    configs: tuple[FileLayer, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(layer.blob.size for layer in (*self.weights, *self.configs))

    @property
    def weights_bytes(self) -> int:
        """Bytes of the large one."""
        return max(layer.blob.size for layer in self.weights)

    def readable(self, writer: BundleWriter, stack: contextlib.ExitStack) -> tuple[Path, dict[str, Path]]:
        """The file to load, and all by name where there are several, before anything is committed."""
        paths = {
            layer.path: stack.enter_context(writer.readable(layer.blob)) for layer in (*self.weights, *self.configs)
        }
        return paths[self.weights[0].path], paths if len(paths) > 1 else {}


class SmallFileWriter:
    """Adds small files to a writer, equal ones once."""

    def __init__(self, writer: BundleWriter) -> None:
        self._writer = writer
        self._blobs: dict[bytes, Descriptor] = {}

    def complete(
        self, model: ModelInput, recipe: str, weights: Descriptor, context: int, kv_ranges: KvRanges | None = None
    ) -> ModelFiles:
        """The model of a bundle for ``context`` tokens, whose large file was written; see ModelInput.small_files."""
        small = model.small_files(recipe, weights.digest, context, kv_ranges)
        large = FileLayer(model.weights_path, weights)
        return ModelFiles((*self._layers(small.graph), large), self._layers(small.configs))

    def _layers(self, files: Mapping[str, bytes]) -> tuple[FileLayer, ...]:
        return tuple(FileLayer(path, self._add(data)) for path, data in files.items())

    def _add(self, data: bytes) -> Descriptor:
        if data not in self._blobs:
            self._blobs[data] = self._writer.add_bytes(data)
        return self._blobs[data]


def write_large_files(
    model: ModelInput,
    writer: BundleWriter,
    recipes: Sequence[str],
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> dict[str, Descriptor]:
    """One large file for each recipe, all from one pass over the source."""
    if not recipes:
        return {}
    with contextlib.ExitStack() as stack:
        blobs = {recipe: stack.enter_context(writer.blob(model.file_bytes(recipe))) for recipe in recipes}
        model.write(blobs, threads=threads, progress=progress, cancel=cancel)
    return {recipe: blob.descriptor for recipe, blob in blobs.items()}
