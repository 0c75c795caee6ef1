"""What `auto` is asked, what it compared, and what it chose."""

from __future__ import annotations

import msgspec

from edgellm.devices.estimate import Estimate, Verdict
from edgellm.devices.prediction import SpeedRange
from edgellm.devices.settings import RunSettings

__all__ = ["DEFAULT_MIN_SPEED", "Choice", "FitRequest", "FitRow"]

DEFAULT_MIN_SPEED = 5.0  # tokens per second: a comfortable reading speed


class FitRequest(msgspec.Struct, frozen=True):
    """What the user asks for; None leaves the choice to `auto`."""

    context: int | None = None
    sequences: int | None = None
    min_speed: float = DEFAULT_MIN_SPEED
    recipe: str | None = None
    accelerators: tuple[str, ...] = ()  # kinds that the installed runtime was built for
    adapter_bytes: int = 0  # data of all LoRA adapters, beside the model


class FitRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the fit table: a recipe in the best way to run it at the chosen context and sequences."""

    recipe: str
    size_bytes: int  # on the disk; see ModelShape.size_bytes
    settings: RunSettings
    estimate: Estimate
    quality_loss: float  # rise in perplexity, see edgellm.devices.quality
    note: str = ""
    chosen: bool = False
    format: str = "gguf"

    @property
    def memory_bytes(self) -> int:
        """Predicted resident set."""
        return self.estimate.memory.total_bytes

    @property
    def verdict(self) -> Verdict:
        """fits, tight, does not fit."""
        return self.estimate.verdict

    @property
    def decode(self) -> SpeedRange | None:
        """Tokens per second of one user alone."""
        return self.estimate.decode

    @property
    def decode_per_user(self) -> SpeedRange | None:
        """Tokens per second of each user when all sequences decode."""
        return self.estimate.decode_per_user

    @property
    def prefill(self) -> SpeedRange | None:
        """Prompt tokens per second."""
        return self.estimate.prefill


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to pack, how to run it, and why."""

    recipe: str
    settings: RunSettings
    estimate: Estimate
    why: str
    table: tuple[FitRow, ...]
