"""What a loaded GGUF model says about itself."""

from __future__ import annotations

import ctypes
from typing import Any

from edgellm.formats.encoders import pooling_of
from edgellm_runtimes.backend import ModelFacts

__all__ = ["metadata_text", "model_facts"]


def metadata_text(lib: Any, model: Any, key: str) -> str:
    """A value of the file's metadata as text; empty where there is none."""
    buffer = ctypes.create_string_buffer(256)
    length = lib.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace") if length >= 0 else ""


def model_facts(lib: Any, model: Any) -> ModelFacts:
    """The facts of ``model``."""
    buffer = ctypes.create_string_buffer(256)
    length = lib.llama_model_desc(model, buffer, len(buffer))
    architecture = metadata_text(lib, model, "general.architecture")
    pooling = f"{architecture}.pooling_type"
    number = metadata_text(lib, model, pooling)
    template = lib.llama_model_chat_template(model, None)
    return ModelFacts(
        architecture=architecture,
        description=buffer.value.decode("utf-8", "replace") if length >= 0 else "",
        n_parameters=int(lib.llama_model_n_params(model)),
        size_bytes=int(lib.llama_model_size(model)),
        trained_context=int(lib.llama_model_n_ctx_train(model)),
        chat_template=template.decode("utf-8", "replace") if template else None,
        n_embd=int(lib.llama_model_n_embd_out(model)),
        pooling=pooling_of(architecture, {pooling: int(number)}) if number.isdecimal() else None,
    )
