"""The pipeline from a source to bundles: choose, prove, quantize, smoke-test, commit."""

from __future__ import annotations

from edgellm_converters.pack.pipeline import pack
from edgellm_converters.pack.request import PackedBundle, PackRequest

__all__ = ["PackRequest", "PackedBundle", "pack"]
