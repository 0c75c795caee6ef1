"""A checkpoint folder as the source of a pack."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from edgellm.bundle.plan import PlannedEncoder
from edgellm.devices.model import ModelShape
from edgellm.errors import UnsupportedError, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm.sources.local import LocalSource
from edgellm.sources.origin import Origin
from edgellm_converters.arch import EncoderHyper, Hyper, get_family
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.checkpoint.sentence import SentenceConfig
from edgellm_converters.gguf.general import GeneralMetadata
from edgellm_converters.lora import AdapterBase, base_of_checkpoint
from edgellm_converters.model_card import front_matter
from edgellm_converters.pack.model_input import Sink, SourceFacts, StandsAlone
from edgellm_converters.pack.sampling import sampling_defaults
from edgellm_converters.recipes import RECIPES, get_recipe
from edgellm_converters.shape import shape_of
from edgellm_converters.source_docs import find_documents, license_ids
from edgellm_converters.tokenizer import Vocabulary, load_vocabulary

__all__ = ["CheckpointInput"]

_CARD = "README.md"


def encoder_notes(sentence: SentenceConfig) -> tuple[str, ...]:
    """What the user should know of an encoder."""
    notes = []
    if sentence.pooling is None:
        notes.append("no modules.json says how the model was trained to pool: its vectors are the mean of all tokens")
    if sentence.prompt:
        notes.append(
            f"sentence-transformers puts {sentence.prompt[:200]!r} before every text for this model; here a text is "
            "taken as it is: put it there yourself"
        )
    return tuple(notes)


class CheckpointInput(StandsAlone):
    """See ModelInput."""

    def __init__(
        self, source: LocalSource, license_id: str | None, revision: str, origin: Origin | None = None
    ) -> None:
        self._source = source
        self._origin = origin
        self._license_id = license_id
        self._revision = revision
        self._checkpoint = open_checkpoint(source.path)
        self._hyper: Hyper | EncoderHyper = get_family(self._checkpoint.config).parse(self._checkpoint.config)
        self._general = GeneralMetadata(name=origin.bundle_name if origin else source.name)
        self._sizes: dict[str, int] = {}

    def close(self) -> None:
        """Close the checkpoint's files."""
        self._checkpoint.close()

    @property
    def sentence(self) -> SentenceConfig:
        """What an encoder makes of a text; of other models nothing is known."""
        return self._checkpoint.sentence if self._encodes else SentenceConfig()

    @property
    def _encodes(self) -> bool:
        """Also a decoder that was trained to look ahead."""
        return isinstance(self._hyper, EncoderHyper) or not self._hyper.is_causal

    @property
    def encoder(self) -> PlannedEncoder | None:
        """How an encoder makes a vector; None for a model that generates text."""
        if not self._encodes:
            return None
        return PlannedEncoder(self._hyper.n_embd, self.sentence.pooling or "mean", self.sentence.normalise)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Read on first use: a fit table does without."""
        return load_vocabulary(self._source.path, self._checkpoint.config)

    @cached_property
    def facts(self) -> SourceFacts:
        """See ModelInput."""
        documents = tuple(find_documents(self._source.path))
        card = next((doc.path for doc in documents if doc.name == _CARD), None)
        fields = front_matter(card) if card else {}
        given = license_ids({"license": self._license_id}) if self._license_id else ()
        return SourceFacts(
            kind="checkpoint",
            name=self._origin.name if self._origin else self._source.name,
            architecture=self._hyper.architecture,
            licenses=license_ids(fields) or given,
            documents=documents,
            files=self._checkpoint.files(),
            sampling=sampling_defaults(self._checkpoint.generation_config),
            chat_template=self.vocabulary.chat_template,
            eos_token_ids=() if self.encoder is not None else self.vocabulary.eos_token_ids,
            encoder=self.encoder,
            text_normalization=self.vocabulary.normalization or "",
            text_space_prefix=self.vocabulary.space_prefix == "start only",
            notes=self._notes(),
            revision=self._origin.revision if self._origin else self._revision,
            url=self._origin.url if self._origin else "",
        )

    def _notes(self) -> tuple[str, ...]:
        if isinstance(self._hyper, EncoderHyper):
            return (*self.vocabulary.notes, *encoder_notes(self.sentence))
        window = self._hyper.sliding_window
        if window is None or window >= self._hyper.context_length:
            return self.vocabulary.notes
        return (
            *self.vocabulary.notes,
            f"the model was trained with a sliding window of {window} tokens, which llama.cpp does not apply: the "
            f"context is at most {window}",
        )

    def recipes(self) -> tuple[str, ...]:
        """All of them: best quality first."""
        return tuple(RECIPES)

    def shape(self, recipe: str) -> ModelShape:
        """See ModelInput."""
        return shape_of(self._checkpoint, get_recipe(recipe))

    def adapter_base(self) -> AdapterBase:
        """See ModelInput."""
        if self.encoder is not None:
            raise UnsupportedError(
                "an encoder cannot bring LoRA adapters along", hint="merge the adapter into the checkpoint first"
            )
        return base_of_checkpoint(self._checkpoint)

    def prove_tokenizer(self, progress: Progress, cancel: CancelToken) -> None:
        """See ModelInput."""
        from edgellm_converters.tokenizer import prove

        progress.phase("prove the tokenizer")
        result = prove(self._source.path, self.vocabulary)
        for limitation in result.limitations:
            progress.message(f"note: {limitation}")
        cancel.check()

    def file_bytes(self, recipe: str) -> int:
        """See ModelInput. Counted once: it takes encoding the vocabulary."""
        from edgellm_converters.gguf import gguf_size

        if recipe not in self._sizes:
            size = gguf_size(self._checkpoint, self.vocabulary, get_recipe(recipe), self._general)
            self._sizes[recipe] = size
        return self._sizes[recipe]

    def finished(self, recipe: str) -> None:
        """See ModelInput. Never: it has to be converted."""

    def write(self, sinks: Mapping[str, Sink], *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        """See ModelInput."""
        from edgellm_converters.gguf import write_ggufs

        if not sinks:
            raise UsageError("nothing to write: no recipe was chosen")
        targets = [(get_recipe(recipe), sink) for recipe, sink in sinks.items()]
        write_ggufs(
            self._checkpoint,
            self.vocabulary,
            targets,
            threads=threads,
            progress=progress,
            cancel=cancel,
            general=self._general,
        )
