"""What the pipeline needs of a source, whether it is a checkpoint or a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgellm.bundle.plan import PlannedEncoder, SamplingDefaults
from edgellm.devices.model import ModelShape
from edgellm.progress import CancelToken, Progress
from edgellm_converters.lora import AdapterBase
from edgellm_converters.source_docs import SourceDocument

if TYPE_CHECKING:
    from edgellm_converters.pack.request import KvRanges

__all__ = ["ModelInput", "Sink", "SmallFiles", "SourceFacts", "StandsAlone"]


class Sink(Protocol):
    """Where a model file is written: front to back, once."""

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append ``data``."""


@dataclass(frozen=True)
class SourceFacts:
    """What a source says about itself, beside its weights."""

    kind: str  # "checkpoint" or "gguf"
    name: str
    architecture: str
    licenses: tuple[str, ...]
    documents: tuple[SourceDocument, ...]
    files: Mapping[str, Path]  # whose digests go into the plan, by name
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    chat_template: str | None = None
    eos_token_ids: tuple[int, ...] = ()
    text_normalization: str = ""
    text_space_prefix: bool = False
    notes: tuple[str, ...] = ()  # sentences for the user
    revision: str = ""
    url: str = ""
    format: str = "gguf"  # what it is packed as; or "onnx"
    encoder: PlannedEncoder | None = None  # of a model that turns texts into vectors


@dataclass(frozen=True)
class SmallFiles:
    """What a bundle holds beside its large file: the graph that belongs to it, and configuration. By path."""

    graph: Mapping[str, bytes] = field(default_factory=dict)
    configs: Mapping[str, bytes] = field(default_factory=dict)


class StandsAlone:
    """The part of a ModelInput that is the same for all that become a GGUF: one file is all there is."""

    weights_path = "model.gguf"

    def plan_contexts(self, longest: int) -> None:
        """See ModelInput. Nothing of the file depends on it."""

    def small_files(
        self, recipe: str, weights_digest: str, context: int, kv_ranges: KvRanges | None = None
    ) -> SmallFiles:
        """See ModelInput."""
        return SmallFiles()

    def sample_tokens(self) -> list[int]:
        """See ModelInput. Nothing is measured."""
        return []


class ModelInput(Protocol):
    """A source that was opened: headers only, no weights."""

    @property
    def facts(self) -> SourceFacts:
        """What it says about itself."""

    @property
    def weights_path(self) -> str:
        """What the large file is called in a bundle."""

    def recipes(self) -> tuple[str, ...]:
        """The recipes that it can be packed to, best quality first."""

    def shape(self, recipe: str) -> ModelShape:
        """The model as it would be packed. Raises UnsupportedError for a recipe that this source cannot give."""

    def adapter_base(self) -> AdapterBase:
        """What adapters may change. Raises CheckpointError, UnsupportedError."""

    def prove_tokenizer(self, progress: Progress, cancel: CancelToken) -> None:
        """Show that the runtime will read text into the same token ids. Raises CheckpointError or UnsupportedError."""

    def plan_contexts(self, longest: int) -> None:
        """Hear of the longest context that a bundle will plan, before anything is written."""

    def file_bytes(self, recipe: str) -> int:
        """The exact size of the large file."""

    def finished(self, recipe: str) -> tuple[Path, str] | None:
        """The file that already is the model file of ``recipe``, and its digest; None when it has to be written.

        Raises what ``write`` would raise for a file that must not be packed.
        """

    def write(self, sinks: Mapping[str, Sink], *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        """Read the weights once and write one large file for each recipe of ``sinks``."""

    def small_files(
        self, recipe: str, weights_digest: str, context: int, kv_ranges: KvRanges | None = None
    ) -> SmallFiles:
        """The other files of a bundle for ``context`` tokens whose large file has this digest.

        With ``kv_ranges`` its KV cache is int8, with scales for numbers of this size.
        """

    def sample_tokens(self) -> list[int]:
        """Text of many kinds, for measurements."""
