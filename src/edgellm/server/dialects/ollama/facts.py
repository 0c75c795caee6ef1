"""What the header of a model file says that clients of Ollama ask for."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.bundle.opened import OpenBundle
from edgellm.errors import EdgeLLMError
from edgellm.formats.encoders import is_encoder
from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm.server.generation.templates.traits import read_traits
from edgellm_runtimes.onnx.files import OnnxFiles
from edgellm_runtimes.onnx.template import chat_template

__all__ = ["ModelFacts", "model_facts", "template_of"]

_CACHED_MODELS = 64


@dataclass(frozen=True)
class ModelFacts:
    """``infill``: the tokens before the prefix, before the suffix, and before what is to be filled in."""

    architecture: str
    trained_context: int
    n_embd: int
    template: str
    infill: tuple[int, int, int] | None
    is_embedder: bool  # trained to give vectors, not text

    def capabilities(self, template: str) -> list[str]:
        """What the model does with ``template``, in Ollama's words."""
        if self.is_embedder:
            return ["embedding"]
        found = ["completion"]
        if "tools" in template:
            found.append("tools")
        if self.infill is not None:
            found.append("insert")
        if read_traits(template).thinking is not None:
            found.append("thinking")
        return found


def model_facts(bundle: OpenBundle) -> ModelFacts:
    """The facts of a bundle's model, read once for each. Raises ModelFileError."""
    return _of_files(bundle.weights_path, tuple(sorted(bundle.files.items())))


@functools.lru_cache(_CACHED_MODELS)
def _of_files(path: Path, files: tuple[tuple[str, Path], ...]) -> ModelFacts:
    if files:
        return _of_onnx(OnnxFiles(path, dict(files)))
    header = read_header(path, skip_arrays=True)
    template = header.metadata.get("tokenizer.chat_template")
    return ModelFacts(
        architecture=header.architecture,
        trained_context=_integer(header, f"{header.architecture}.context_length"),
        n_embd=_integer(header, f"{header.architecture}.embedding_length"),
        template=template if isinstance(template, str) else "",
        infill=_infill(header.metadata),
        is_embedder=f"{header.architecture}.pooling_type" in header.metadata
        or is_encoder(header.architecture, header.metadata),
    )


def _of_onnx(files: OnnxFiles) -> ModelFacts:
    config = files.config
    return ModelFacts(
        architecture=config.type,
        trained_context=config.context_length,
        n_embd=config.decoder.hidden_size,
        template=chat_template(files) or "",
        infill=None,
        is_embedder=files.encoder is not None,
    )


def template_of(bundle: OpenBundle) -> str:
    """The chat template that a bundle is used with; empty without one, or where the file cannot be read."""
    if bundle.plan.chat is not None and bundle.plan.chat.template:
        return bundle.plan.chat.template
    try:
        return model_facts(bundle).template
    except EdgeLLMError:
        return ""


def _integer(header: GGUFHeader, key: str) -> int:
    value = header.metadata.get(key, 0)
    return value if isinstance(value, int) else 0


def _infill(metadata: dict[str, Any]) -> tuple[int, int, int] | None:
    """llama.cpp's keys, and the ones that files had before."""
    found = []
    for new, old in (("fim_pre", "prefix"), ("fim_suf", "suffix"), ("fim_mid", "middle")):
        token = metadata.get(f"tokenizer.ggml.{new}_token_id", metadata.get(f"tokenizer.ggml.{old}_token_id"))
        if not isinstance(token, int):
            return None
        found.append(token)
    return found[0], found[1], found[2]
