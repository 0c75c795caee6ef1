"""An adapter as the source of a pack: a PEFT folder, or a GGUF adapter that is taken as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgellm.errors import IntegrityError, NotFoundError, UnsupportedError, UsageError
from edgellm.files import os_errors
from edgellm.formats.gguf_adapter import check_adapter, is_adapter
from edgellm.formats.gguf_split import GGUFModel, read_model
from edgellm.progress import CancelToken, Progress
from edgellm_converters.gguf import GeneralMetadata, adopt
from edgellm_converters.lora import AdapterBase, fit_peft, open_peft
from edgellm_converters.model_card import front_matter
from edgellm_converters.pack.model_input import Sink
from edgellm_converters.source_docs import SourceDocument, find_documents, license_ids

__all__ = ["AdapterInput", "FittedFile", "naming", "open_adapter"]


class FittedFile(Protocol):
    """An adapter that was checked against its base model."""

    @property
    def rank(self) -> int:
        """The largest rank of its matrices."""

    @property
    def size_bytes(self) -> int:
        """The exact size of its file."""

    def write(self, sink: Sink, *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        """Write the file, front to back."""


class AdapterInput(Protocol):
    """An adapter that was opened: headers only, no weights."""

    @property
    def name(self) -> str:
        """What the bundle calls it."""

    @property
    def kind(self) -> str:
        """``peft`` or ``gguf``."""

    @property
    def base(self) -> str:
        """The model that it was trained on, as it says itself; may be empty."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Whose digests go into the plan."""

    @property
    def documents(self) -> tuple[SourceDocument, ...]:
        """Its licence, notices and card."""

    @property
    def licenses(self) -> tuple[str, ...]:
        """SPDX ids or LicenseRef-...; empty when nothing is said."""

    @property
    def memory_bytes(self) -> int:
        """What its weights take when they are loaded."""

    def fit(self, base: AdapterBase) -> FittedFile:
        """Check it against its base model. Raises CheckpointError, ModelFileError, UnsupportedError."""

    def close(self) -> None:
        """Close its files."""


def open_adapter(name: str, path: Path) -> AdapterInput:
    """Open the adapter at ``path``, a PEFT folder or a GGUF file, to be called ``name`` (a checked name).

    Raises CheckpointError, ModelFileError, UnsupportedError, UsageError, NotFoundError, AccessError.
    """
    with naming(name), os_errors(f"read {path}"):
        if not path.exists():
            raise NotFoundError(
                f"{path} does not exist",
                hint="an adapter is a folder as PEFT saves it, or a GGUF file; one of a hub is downloaded first",
            )
        if path.is_dir():
            return _PeftInput(name, path)
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            raise UsageError(f"{path} is not an adapter", hint="give the folder that PEFT saved, or a GGUF adapter")
        return _GGUFAdapter(name, path)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Let the messages of errors inside the block say which adapter they are about."""
    try:
        yield
    except (IntegrityError, UnsupportedError, UsageError, NotFoundError) as error:
        raise type(error)(f"adapter {name}: {error.message}", hint=error.hint) from error


class _PeftInput:
    """See AdapterInput."""

    kind = "peft"

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._adapter = open_peft(path)
        self.base = self._adapter.config.base
        self.files = self._adapter.files
        self.documents = tuple(find_documents(path))
        card = next((document.path for document in self.documents if document.name == "README.md"), None)
        self.licenses = license_ids(front_matter(card)) if card else ()

    @property
    def memory_bytes(self) -> int:
        return 4 * self._adapter.n_weights  # they become F32

    def fit(self, base: AdapterBase) -> FittedFile:
        return fit_peft(self._adapter, base, GeneralMetadata(name=self.name))

    def close(self) -> None:
        self._adapter.close()


class _GGUFAdapter:
    """See AdapterInput."""

    kind = "gguf"
    base = ""
    documents: tuple[SourceDocument, ...] = ()

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._model = read_model((path,), skip_arrays=True)
        header = self._model.header
        if not is_adapter(header):
            raise UsageError(f"{path} is a model, not an adapter", hint="pack it by itself: edgellm pack FILE")
        self.files = (path,)
        stated = {key: header.metadata.get(f"general.{key}") for key in ("license", "license.name")}
        self.licenses = license_ids({"license": stated["license"], "license_name": stated["license.name"]})

    @property
    def memory_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in self._model.header.tensors)

    def fit(self, base: AdapterBase) -> FittedFile:
        facts = check_adapter(self._model.header, str(self.files[0]), base.architecture, base.shapes)
        return _AsItIs(self._model, facts.rank)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True)
class _AsItIs:
    """See FittedFile."""

    model: GGUFModel
    rank: int

    @property
    def size_bytes(self) -> int:
        return self.model.header.file_bytes

    def write(self, sink: Sink, *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        adopt(self.model, sink, progress=progress, cancel=cancel)
