"""The shape of a bundle's model, read from its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.devices.model import ModelShape

__all__ = ["bundle_shape"]


def bundle_shape(bundle: OpenBundle) -> ModelShape:
    """From its header or its graph, the recipe as the plan calls it. Raises what reading them raises."""
    import msgspec

    if bundle.files:
        from edgellm_runtimes.load import LoadRequest
        from edgellm_runtimes.onnx.loader import OnnxLoader

        shape = OnnxLoader(LoadRequest(model_path=bundle.weights_path, files=bundle.files)).shape()
    else:
        from edgellm.devices.gguf_shape import shape_from_gguf
        from edgellm.formats.gguf import read_header

        shape = shape_from_gguf(read_header(bundle.weights_path, skip_arrays=True))
    return msgspec.structs.replace(shape, recipe=bundle.plan.recipe)
