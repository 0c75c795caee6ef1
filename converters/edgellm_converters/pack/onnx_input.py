"""A checkpoint folder as the source of an ONNX bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from edgellm.devices.model import ModelShape
from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.progress import CancelToken, Progress
from edgellm_converters.arch import EncoderHyper
from edgellm_converters.lora import AdapterBase
from edgellm_converters.onnx.data_file import write_data
from edgellm_converters.onnx.genai_config import GENAI_CONFIG_NAME, genai_config
from edgellm_converters.onnx.model import GRAPH_NAME, OnnxModel, open_model
from edgellm_converters.onnx.recipes import ONNX_RECIPES, get_onnx_recipe
from edgellm_converters.onnx.shape import shape_of_onnx
from edgellm_converters.onnx.tokenizer_files import tokenizer_files
from edgellm_converters.onnx.weights import DATA_NAME
from edgellm_converters.pack.checkpoint_input import CheckpointInput, encoder_notes
from edgellm_converters.pack.model_input import Sink, SmallFiles, SourceFacts
from edgellm_converters.tokenizer.corpus import CORPUS

if TYPE_CHECKING:
    from edgellm_converters.pack.request import KvRanges

__all__ = ["OnnxInput"]

_SAMPLE_TOKENS = 1024
_STRANGE = ("unusual characters", "whitespace")  # no text that a model is asked to read
_LEAST_POSITIONS = 8192  # of the rotary tables: room for a longer context than was planned


class OnnxInput(CheckpointInput):
    """See ModelInput."""

    weights_path = DATA_NAME
    _positions = _LEAST_POSITIONS

    @cached_property
    def facts(self) -> SourceFacts:
        """See ModelInput. The tokenizer is the checkpoint's own, so texts need no preparation."""
        return replace(super().facts, format="onnx", text_normalization="", text_space_prefix=False)

    def _notes(self) -> tuple[str, ...]:
        return encoder_notes(self.sentence) if self.encoder is not None else ()  # none of what llama.cpp cannot do

    def recipes(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(ONNX_RECIPES)

    def shape(self, recipe: str) -> ModelShape:
        """See ModelInput."""
        return shape_of_onnx(self._model(recipe), self.sentence.max_tokens)

    def adapter_base(self) -> AdapterBase:
        """See ModelInput. Raises UnsupportedError: there are no adapters in ONNX bundles."""
        raise UnsupportedError(
            "an ONNX bundle cannot bring LoRA adapters along", hint="leave --adapter out, or take --format gguf"
        )

    def prove_tokenizer(self, progress: Progress, cancel: CancelToken) -> None:
        """Show that the `tokenizers` library, which runs on the device, reads tokenizer.json and fits the model."""
        from tokenizers import Tokenizer

        progress.phase("read the tokenizer")
        text = tokenizer_files(self._source.path, self.vocabulary)["tokenizer.json"]
        try:
            tokenizer = Tokenizer.from_buffer(text)
        except Exception as error:
            raise CheckpointError(
                f"{self._source.path / 'tokenizer.json'} cannot be read: {str(error)[:200]}", hint="download it again"
            ) from error
        if tokenizer.get_vocab_size() > self._hyper.n_vocab:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.get_vocab_size()} tokens, the model {self._hyper.n_vocab}",
                hint="the tokenizer files and the weights must belong to the same model",
            )
        cancel.check()

    def plan_contexts(self, longest: int) -> None:
        """See ModelInput. The graph has tables for so many positions."""
        self._positions = max(longest, _LEAST_POSITIONS)
        self._models.clear()

    def file_bytes(self, recipe: str) -> int:
        """See ModelInput."""
        return self._model(recipe).data_bytes

    def write(self, sinks: Mapping[str, Sink], *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        """See ModelInput."""
        targets = [(self._model(recipe).graph, sink) for recipe, sink in sinks.items()]
        write_data(self._checkpoint, targets, threads=threads, progress=progress, cancel=cancel)

    def small_files(
        self, recipe: str, weights_digest: str, context: int, kv_ranges: KvRanges | None = None
    ) -> SmallFiles:
        """See ModelInput."""
        model = self._model(recipe)
        tokenizer = tokenizer_files(self._source.path, self.vocabulary)
        hyper = model.hyper
        if isinstance(hyper, EncoderHyper):
            return SmallFiles(graph={GRAPH_NAME: model.encode(weights_digest)}, configs=tokenizer)
        if kv_ranges is not None:
            model = open_model(self._checkpoint, get_onnx_recipe(recipe), self._positions, kv_ranges=kv_ranges)
        config = genai_config(
            hyper,
            model.model_type,
            GRAPH_NAME,
            context_length=model.context_length,
            max_length=min(context, model.context_length),
            special_tokens={"bos_token_id": self.vocabulary.bos_token_id, "pad_token_id": self._pad_token_id},
            eos_token_ids=self.vocabulary.eos_token_ids,
            sampling=self.facts.sampling,
        )
        return SmallFiles(
            graph={GRAPH_NAME: model.encode(weights_digest)},
            configs={GENAI_CONFIG_NAME: config, **tokenizer},
        )

    def sample_tokens(self) -> list[int]:
        """See ModelInput: the texts that tokenizers are proved with."""
        from tokenizers import Tokenizer

        texts = tokenizer_files(self._source.path, self.vocabulary)["tokenizer.json"]
        tokenizer = Tokenizer.from_buffer(texts)
        tokenizer.no_truncation()
        joined = "\n".join(text.text for text in CORPUS if text.kind not in _STRANGE)
        hyper = self._hyper
        trained = hyper.n_positions if isinstance(hyper, EncoderHyper) else hyper.context_length
        longest = min(_SAMPLE_TOKENS, self._positions, trained)
        ids: list[int] = tokenizer.encode(joined).ids[:longest]
        return ids

    @property
    def _pad_token_id(self) -> int | None:
        return self.vocabulary.special.ids.get("pad")

    @cached_property
    def _models(self) -> dict[str, OnnxModel]:
        return {}

    def _model(self, recipe: str) -> OnnxModel:
        if recipe not in self._models:
            self._models[recipe] = open_model(self._checkpoint, get_onnx_recipe(recipe), self._positions)
        return self._models[recipe]
