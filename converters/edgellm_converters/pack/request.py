"""What a pack is asked for and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgellm.bundle.plan import Plan
from edgellm.progress import CancelToken

if TYPE_CHECKING:
    from edgellm.bundle.names import BundleName
    from edgellm.devices.benched import BenchedModel
    from edgellm.devices.fit import Choice, RunSettings
    from edgellm.devices.load import LoadedProfile
    from edgellm.sources.local import LocalSource
    from edgellm.sources.origin import Origin
    from edgellm_converters.pack.adapter_input import AdapterInput
    from edgellm_converters.pack.choose import Target

__all__ = ["FoundTokens", "KvRanges", "MeasureKv", "PackRequest", "PackedBundle", "ReadPrompt", "SmokeTest"]

SmokeTest = Callable[[Path, "RunSettings", CancelToken, Mapping[str, Path], Mapping[str, Path]], Mapping[str, Any]]
"""Loads the model file under the plan's settings and generates, in a child process, also with each of the adapters (the
first mapping). The second mapping has every file of a model of several files by its name; it is empty for others.

Gives what it measured. Raises errors of our tree.
"""


class FoundTokens(Protocol):
    """What every chat begins with."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Token ids."""

    @property
    def dated(self) -> bool:
        """They end where the template writes the date."""


ReadPrompt = Callable[[Path, Plan, str, CancelToken, Mapping[str, Path]], FoundTokens]
"""Finds the tokens of a system prompt with the model file, under the plan's text settings. Files as in SmokeTest.

Raises errors of our tree.
"""

KvRanges = Sequence[Sequence[float]]
"""For the keys of layer 0, its values, the keys of layer 1, ...: the largest magnitude of each head's channels."""

MeasureKv = Callable[[Path, Mapping[str, Path], Sequence[int], CancelToken], KvRanges]
"""Runs tokens through a model (the file to load, all its files) and looks at its cache. Raises errors of our tree."""


@dataclass(frozen=True)
class PackRequest:
    """One source, one bundle for each device."""

    source: LocalSource
    devices: tuple[LoadedProfile, ...]
    recipe: str = "auto"
    format: str = "gguf"  # or "onnx", or "auto"
    context: int | None = None
    sequences: int | None = None
    min_speed: float = 5.0  # tokens/s
    name: str | None = None  # NAME[:TAG]; default: <model>:<device>-<recipe>
    revision: str = ""
    license: str | None = None
    accelerators: tuple[str, ...] = ()  # kinds that the installed runtime was built for
    threads: int = 0  # 0: every core of this process
    force: bool = False  # pack although it does not fit
    origin: Origin | None = None  # of a source that was fetched
    adapters: tuple[AdapterInput, ...] = ()  # by name; opened, and closed by whoever opened them
    system_prompt: str = ""  # a text that every chat begins with
    targets: tuple[Target, ...] = ()  # one for each device, chosen before the source was fetched; empty: choose now
    benched: tuple[BenchedModel, ...] = ()  # what `edgellm bench` found on this machine: decides on the format "auto"
    notes: tuple[str, ...] = ()  # to say before anything is done


@dataclass(frozen=True)
class PackedBundle:
    """One finished bundle."""

    name: BundleName
    digest: str
    size_bytes: int  # all blobs
    weights_bytes: int
    plan: Plan
    choice: Choice
    smoke: Mapping[str, Any]
