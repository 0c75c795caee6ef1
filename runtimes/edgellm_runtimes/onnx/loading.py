"""What a loaded ONNX model can take, what it says about itself, and which settings it refuses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgellm.errors import UnsupportedError, UsageError
from edgellm.formats.onnx_graph import ELEMENT_NAMES, OnnxGraph
from edgellm_runtimes.backend import BackendSettings, ModelFacts
from edgellm_runtimes.checks import check_ranges
from edgellm_runtimes.onnx.files import ModelConfig, OnnxFiles
from edgellm_runtimes.onnx.library import library_version
from edgellm_runtimes.onnx.template import chat_template

__all__ = [
    "KV_TYPES",
    "check_encoder_settings",
    "check_settings",
    "kv_dtype",
    "kv_type",
    "model_facts",
    "positions",
    "state_traits",
]

KV_TYPES: dict[str, npt.DTypeLike] = {"f32": np.float32, "f16": np.float16, "int8": np.int8}
_NAMES = {"F32": "f32", "F16": "f16", "I8": "int8"}
_ROPE_TABLE = "rope.cosines"
_RECIPE, _PARAMETERS = "edgellm.recipe", "edgellm.parameters"  # in the metadata of the graph


def check_settings(settings: BackendSettings, config: ModelConfig, graph: OnnxGraph) -> None:
    """Raise UsageError for settings that this model cannot be run with."""
    longest = positions(graph, config)
    check_ranges(settings, longest, f"the model was packed for {longest} positions")
    for name, asked in (("kv_type_k", settings.kv_type_k), ("kv_type_v", settings.kv_type_v)):
        if asked != kv_type(graph):
            raise UsageError(
                f"{name} is {asked!r}; the cache of this ONNX model is {kv_type(graph)}",
                hint="that is decided when a model is packed",
            )


def check_encoder_settings(settings: BackendSettings, config: ModelConfig) -> None:
    """Raise UsageError for settings that this encoder cannot be run with."""
    check_ranges(settings, config.context_length, f"the model knows {config.context_length} positions")


def positions(graph: OnnxGraph, config: ModelConfig) -> int:
    """The longest sequence that the graph has rotary tables for."""
    table = graph.tensors.get(_ROPE_TABLE)
    return min(table.shape[0], config.context_length) if table is not None and table.shape else config.context_length


def kv_type(graph: OnnxGraph) -> str:
    """The type of the cache as settings call it. Raises UnsupportedError."""
    element = ELEMENT_NAMES.get(graph.inputs["past_key_values.0.key"].type, "?")
    if element not in _NAMES:
        raise UnsupportedError(f"the KV cache of this ONNX model has elements of the type {element}")
    return _NAMES[element]


def kv_dtype(graph: OnnxGraph) -> npt.DTypeLike:
    """The type of the cache as numpy calls it."""
    return KV_TYPES[kv_type(graph)]


def model_facts(files: OnnxFiles) -> ModelFacts:
    """What the files say about the model."""
    config, graph = files.config, files.graph
    recipe = graph.metadata.get(_RECIPE, "")
    return ModelFacts(
        architecture=config.type,
        description=f"{config.type} {recipe}".strip(),
        n_parameters=int(parameters) if (parameters := graph.metadata.get(_PARAMETERS, "")).isdigit() else 0,
        size_bytes=files.size_bytes,
        trained_context=config.context_length,
        chat_template=chat_template(files),
        n_embd=config.decoder.hidden_size,
        pooling=files.encoder.pooling if files.encoder is not None else None,
        normalised=files.encoder is not None and files.encoder.normalised,
    )


def state_traits(files: OnnxFiles) -> dict[str, str]:
    """What a saved state depends on besides the weights. States of equal traits can be exchanged."""
    return {"library": f"onnxruntime {library_version()}", "kv_type": kv_type(files.graph), "layout": "head, token"}
