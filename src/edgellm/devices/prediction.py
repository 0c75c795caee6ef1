"""What the fit model predicts; the plan of a bundle carries it along."""

from __future__ import annotations

import msgspec

__all__ = ["PredictedMemory", "SpeedRange"]


class PredictedMemory(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes that one process with one loaded model takes, and what must stay free beside it."""

    total_bytes: int  # resident set: everything below but the reserve
    weights_bytes: int
    repack_bytes: int
    kv_bytes: int
    compute_bytes: int
    overhead_bytes: int
    reserve_bytes: int  # kept for the operating system; not part of the total
    adapter_bytes: int = 0  # LoRA adapters, all of them


class SpeedRange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens per second, low to high, and where the numbers come from."""

    low: float
    high: float
    basis: str

    @property
    def middle(self) -> float:
        """Half way between both ends."""
        return (self.low + self.high) / 2
