"""A checkpoint as an ONNX model: its graphs, built from headers alone, and the file of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgellm.errors import UnsupportedError
from edgellm_converters.arch import EncoderHyper, read_model
from edgellm_converters.onnx.decoder import QKV, DecoderGraph, build_decoder
from edgellm_converters.onnx.encoder import EncoderGraph, build_encoder
from edgellm_converters.onnx.encoder_facts import ENCODER_FACTS, encoder_facts
from edgellm_converters.onnx.linear import ACCURACY_INT8
from edgellm_converters.onnx.recipes import OnnxRecipe, matrix_encodings

if TYPE_CHECKING:
    from edgellm_converters.arch.hyper import Hyper
    from edgellm_converters.arch.plan import TensorPlan
    from edgellm_converters.checkpoint import Checkpoint
    from edgellm_converters.onnx.graph import Graph

__all__ = ["GRAPH_NAME", "OnnxModel", "open_model"]

GRAPH_NAME = "model.onnx"
_NO_DIGEST = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class OnnxModel:
    """One checkpoint in one recipe."""

    recipe: OnnxRecipe
    graph: Graph
    hyper: Hyper | EncoderHyper
    model_type: str  # of Hugging Face
    context_length: int
    n_parameters: int
    facts: Mapping[str, str] = field(default_factory=dict)  # further metadata of the graph

    @property
    def data_bytes(self) -> int:
        """The exact size of the data file."""
        return self.graph.placed()[1]

    @property
    def graph_bytes(self) -> int:
        """The exact size of the graph file."""
        return len(self.encode(_NO_DIGEST))

    def encode(self, data_digest: str) -> bytes:
        """The graph file; it names the data file that it belongs to, ``sha256:...``."""
        metadata = {
            "edgellm.architecture": self.model_type,
            "edgellm.data_digest": data_digest,
            "edgellm.data_size": str(self.data_bytes),
            "edgellm.parameters": str(self.n_parameters),
            "edgellm.recipe": self.recipe.name,
            **self.facts,
        }
        data: bytes = self.graph.model(metadata).SerializeToString(deterministic=True)
        return data


def open_model(
    checkpoint: Checkpoint,
    recipe: OnnxRecipe,
    context_length: int,
    *,
    accuracy: int = ACCURACY_INT8,
    kv_ranges: Sequence[Sequence[float]] | None = None,
) -> OnnxModel:
    """The model of ``checkpoint``, whose positions end at ``context_length``; those of an encoder where it was trained
    to. No tensor data is read.

    ``kv_ranges``: see DecoderGraph; with them its KV cache is int8, and its data file the same as without.

    Raises CheckpointError, UnsupportedError.
    """
    hyper, ordered = read_model(checkpoint)
    plans = {plan.name: plan for plan in ordered}
    encodings = matrix_encodings(
        recipe, _row_lengths(plans), hyper.n_layers, is_encoder=isinstance(hyper, EncoderHyper)
    )
    n_parameters = sum(plan.n_elements for plan in ordered if plan.source)
    model_type = str(checkpoint.config["model_type"])
    if isinstance(hyper, EncoderHyper):
        sentence = checkpoint.sentence
        pooling = sentence.pooling or "mean"
        encoder = EncoderGraph(hyper, plans, encodings, accuracy, pooling, sentence.normalise)
        facts = {ENCODER_FACTS: encoder_facts(hyper, pooling, normalised=sentence.normalise)}
        graph = build_encoder(encoder)
        return OnnxModel(recipe, graph, hyper, model_type, hyper.n_positions, n_parameters, facts)
    if not hyper.is_causal:
        raise UnsupportedError(
            "the attention of this decoder looks ahead (is_causal in config.json), which the ONNX graph does not",
            hint="take --format gguf",
        )
    parts = DecoderGraph(hyper, plans, encodings, min(context_length, hyper.context_length), accuracy, kv_ranges)
    return OnnxModel(recipe, build_decoder(parts), hyper, model_type, parts.context_length, n_parameters)


def _row_lengths(plans: dict[str, TensorPlan]) -> dict[str, int]:
    """Every matrix of the graph: q, k and v are one."""
    lengths = {}
    for name, plan in plans.items():
        role = name.split(".")[-2]
        if len(plan.shape) == 2:
            lengths[name.replace(role, "attn_qkv") if role in QKV else name] = plan.shape[0]
    return lengths
