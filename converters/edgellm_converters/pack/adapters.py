"""The adapters of a pack: checked against the model, written once, whatever the number of devices."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.bundle.adapters import adapter_path
from edgellm.bundle.contents import FileLayer
from edgellm.bundle.plan import PlannedAdapter
from edgellm.bundle.terms import license_note
from edgellm.progress import CancelToken, Progress
from edgellm_converters.pack.adapter_input import naming
from edgellm_converters.pack.digests import SourceDigests

if TYPE_CHECKING:
    from edgellm.bundle.manifest import Descriptor
    from edgellm.bundle.writer import BundleWriter
    from edgellm_converters.pack.adapter_input import AdapterInput, FittedFile
    from edgellm_converters.pack.model_input import ModelInput

__all__ = ["Fitted", "PackedAdapters", "announce_adapters", "fit_adapters", "planned_adapters", "readable_adapters"]

Fitted = Sequence[tuple["AdapterInput", "FittedFile"]]
_UNKNOWN = f"sha256:{'0' * 64}"


def fit_adapters(adapters: Sequence[AdapterInput], model: ModelInput) -> Fitted:
    """Check every adapter against the model, in the order of their names.

    Raises CheckpointError, ModelFileError, UnsupportedError, whose messages name the adapter.
    """
    if not adapters:
        return ()
    base = model.adapter_base()
    fitted = []
    for adapter in sorted(adapters, key=lambda adapter: adapter.name):
        with naming(adapter.name):
            fitted.append((adapter, adapter.fit(base)))
    return fitted


def announce_adapters(fitted: Fitted, progress: Progress) -> None:
    """Say what was found out about each."""
    for adapter, file in fitted:
        trained = f", trained on {adapter.base}" if adapter.base else ""
        progress.message(f"adapter {adapter.name}: rank {file.rank}{trained}")
        terms = license_note(adapter.licenses)
        if terms is not None:
            progress.message(f"note: adapter {adapter.name}: {terms}")


def planned_adapters(fitted: Fitted, digests: Mapping[str, Mapping[str, str]] | None = None) -> list[PlannedAdapter]:
    """What the plan says of them; ``digests``: adapter name -> file name -> digest, None before they are known."""
    return [
        PlannedAdapter(
            name=adapter.name,
            rank=file.rank,
            kind=adapter.kind,
            files={path.name: digests[adapter.name][path.name] if digests else _UNKNOWN for path in adapter.files},
            base=adapter.base,
            licenses=adapter.licenses,
        )
        for adapter, file in fitted
    ]


@dataclass(frozen=True)
class PackedAdapters:
    """What was written: the files by name, and what goes into each bundle."""

    blobs: Mapping[str, Descriptor]
    planned: tuple[PlannedAdapter, ...]
    documents: tuple[FileLayer, ...]

    @classmethod
    def write(
        cls, fitted: Fitted, writer: BundleWriter, threads: int, progress: Progress, cancel: CancelToken
    ) -> PackedAdapters:
        """Write every adapter with its documents. Raises CheckpointError, NoSpaceError, Interrupted."""
        blobs: dict[str, Descriptor] = {}
        digests: dict[str, dict[str, str]] = {}
        documents: list[FileLayer] = []
        for adapter, file in fitted:
            files = {path.name: path for path in adapter.files}
            with naming(adapter.name), SourceDigests(files, cancel) as source:
                with writer.blob(file.size_bytes) as blob:
                    file.write(blob, threads=threads, progress=progress, cancel=cancel)
                blobs[adapter.name] = blob.descriptor
                digests[adapter.name] = source.result()
            documents += [
                FileLayer(f"adapters/{adapter.name}/{document.name}", writer.add_file(document.path))
                for document in adapter.documents
            ]
        return cls(blobs, tuple(planned_adapters(fitted, digests)), tuple(documents))

    @property
    def layers(self) -> tuple[FileLayer, ...]:
        """The files as layers of a bundle."""
        return tuple(FileLayer(adapter_path(name), blob) for name, blob in self.blobs.items())

    @property
    def size_bytes(self) -> int:
        """Bytes of files and documents."""
        return sum(layer.blob.size for layer in (*self.layers, *self.documents))


def readable_adapters(packed: PackedAdapters, writer: BundleWriter, stack: contextlib.ExitStack) -> dict[str, Path]:
    """The adapters' files by name, before anything is committed, while ``stack`` is open."""
    return {name: stack.enter_context(writer.readable(blob)) for name, blob in packed.blobs.items()}
