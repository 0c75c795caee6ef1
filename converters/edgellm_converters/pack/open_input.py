"""From a local source to a ModelInput."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgellm.errors import UnsupportedError

if TYPE_CHECKING:
    from edgellm.sources.local import LocalSource
    from edgellm.sources.origin import Origin
    from edgellm_converters.pack.model_input import ModelInput

__all__ = ["open_input"]


@contextlib.contextmanager
def open_input(
    source: LocalSource,
    license_id: str | None = None,
    revision: str = "",
    origin: Origin | None = None,
    to_format: str = "gguf",
) -> Iterator[ModelInput]:
    """Open a checkpoint or a GGUF file; headers only. ``license_id`` counts where the source names none.

    ``origin`` tells where a source that was fetched came from.

    Raises CheckpointError, ModelFileError, UnsupportedError, NotFoundError, AccessError.
    """
    if source.kind == "gguf" and to_format == "onnx":
        raise UnsupportedError(
            f"{source.path} is a GGUF file: an ONNX model is made of a checkpoint",
            hint="give the folder with config.json and *.safetensors, or take --format gguf",
        )
    if source.kind == "gguf":
        from edgellm_converters.pack.gguf_input import GGUFInput

        yield GGUFInput(source, license_id, revision, origin)
        return
    from edgellm_converters.pack.checkpoint_input import CheckpointInput

    kind = CheckpointInput
    if to_format == "onnx":
        from edgellm_converters.pack.onnx_input import OnnxInput

        kind = OnnxInput
    model = kind(source, license_id, revision, origin)
    try:
        yield model
    finally:
        model.close()
