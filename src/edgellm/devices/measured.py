"""What a calibration measured: the terms that edgellm.devices.speed adds up for a model on this machine."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["KernelSpeed", "Measured"]

_Gops = Annotated[float, msgspec.Meta(gt=0, le=1e7)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=10)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class KernelSpeed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Matrix products of one weight type. A product of n weights with one row counts 2 n operations."""

    type: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9_]{1,16}$")]  # ggml type, as in ModelShape
    repacked: bool
    decode_gops: _Gops  # one row at a time: mostly the reading of the weights
    prefill_gops: _Gops  # 512 rows at a time


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Speed of llama.cpp on one machine, and how far repeated measurements lay apart."""

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    kernels: Annotated[tuple[KernelSpeed, ...], msgspec.Meta(min_length=1, max_length=64)]
    decode_value_seconds: _Seconds  # per value of a layer's rows in one decode step: what lies between the matrices
    decode_attention_gops: _Gops  # 4 x query heads x head size x tokens in the cache, per layer
    prefill_attention_gops: _Gops
    prefill_value_seconds: _Seconds  # per token and value of a layer's rows: norms, activations, residuals
    # The same for the rows of repacked matrices, where they were measured: those rows are laid out in another way.
    repacked_decode_value_seconds: _Seconds | None = None
    repacked_prefill_value_seconds: _Seconds | None = None
    spread: _Share  # half the distance between the fast and the slow rounds of a step, as a share: the median of all

    def kernel(self, type_name: str, repacked: bool) -> KernelSpeed | None:
        """The speed of ``type_name`` in that form; None when it was not measured."""
        return next((k for k in self.kernels if k.type == type_name and k.repacked == repacked), None)

    def value_seconds(self, *, decode: bool, repacked: bool) -> float:
        """Time per value of a row that goes into or comes out of a matrix, in a decode step or for one token of a
        prompt."""
        usual = self.decode_value_seconds if decode else self.prefill_value_seconds
        found = self.repacked_decode_value_seconds if decode else self.repacked_prefill_value_seconds
        return usual if found is None or not repacked else found
