"""What is said about the models of a server, and asked of it: see docs/reference/http/native.md."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "CopyRequest",
    "FitOrder",
    "LoadOrder",
    "LoadStatus",
    "ModelRequest",
    "ModelStatus",
    "PinAnswer",
    "PinRequest",
    "RemovedAnswer",
    "RenameRequest",
    "Room",
    "ShowRequest",
    "StopAnswer",
    "StopRequest",
    "StoredAnswer",
]


class LoadStatus(msgspec.Struct, frozen=True):
    """Progress of one load at one moment."""

    phase: str  # "waiting" for other loads or for memory, then what the loading itself says
    done_bytes: int
    total_bytes: int | None  # of the phase
    elapsed_s: float


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one moment."""

    name: str  # that it was loaded under
    names: tuple[str, ...]  # all that it serves
    digest: str
    state: Literal["loading", "ready", "draining", "unloading", "restarting"]
    pinned: bool
    requests: int  # that use it, or wait for it
    weights_bytes: int | None = None
    needed_bytes: int | None = None  # when all that it reserves is in use
    used_bytes: int | None = None  # now; None where it shares the server's process
    context: int | None = None
    sequences: int | None = None
    keep_alive_s: float | None = None
    expires_in_s: float | None = None  # None while it is in use, or stays for ever
    idle_s: float | None = None
    load_s: float | None = None
    isolation: str | None = None
    pid: int | None = None
    starts: int | None = None  # how often it was loaded: more than once after its worker died
    last_error: str | None = None  # what its worker ended with
    silent_s: float | None = None  # for how long nothing has come of what it does; 0 when all is well
    progress: LoadStatus | None = None


class Room(msgspec.Struct, frozen=True):
    """Memory at one moment. ``models_bytes`` is what all models may take together."""

    models_bytes: int
    left_bytes: int  # for another model; below 0 where those that are there take too much
    server_bytes: int  # kept for the server itself


class StopRequest(msgspec.Struct, frozen=True):
    """Which model to unload."""

    model: str


class StopAnswer(msgspec.Struct, frozen=True):
    """False while requests use it: it is unloaded once they are done."""

    unloaded: bool


class ModelRequest(msgspec.Struct, frozen=True):
    """Which model."""

    model: str


class ShowRequest(ModelRequest, frozen=True):
    """Which model to show."""


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which model to load, and how."""

    model: str
    context: Annotated[int, Meta(ge=1)] | None = None  # tokens; None: the plan's
    keep_alive_s: float | None = None  # after its last request; below 0 for ever; None: the server's
    force: bool = False  # also what does not fit


class PinRequest(msgspec.Struct, frozen=True):
    """Keep a model loaded, or no longer."""

    model: str
    pinned: bool = True


class PinAnswer(msgspec.Struct, frozen=True):
    """The full name, and whether it is pinned now."""

    name: str
    pinned: bool


class CopyRequest(msgspec.Struct, frozen=True):
    """A second name NAME[:TAG] for a bundle."""

    model: str
    name: str


class RenameRequest(CopyRequest, frozen=True):
    """Another name NAME[:TAG] for a bundle."""


class StoredAnswer(msgspec.Struct, frozen=True):
    """A full name, and the digest of what it means."""

    name: str
    digest: str


class RemovedAnswer(msgspec.Struct, frozen=True):
    """The names that are gone, and the space that came back."""

    removed: list[str]
    freed_bytes: int


class FitOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What should fit where: a bundle of the store, OWNER/MODEL[:QUANT] of a hub, or files that were uploaded (file
    name -> digest), of a checkpoint with the name of their folder; device None is this machine."""

    model: str = ""
    files: dict[str, str] = {}
    folder: str = ""  # name of the folder of a checkpoint's files
    format: (
        Annotated[
            Literal["gguf", "onnx"], Meta(description="Of what a checkpoint becomes; without it both are compared.")
        ]
        | None
    ) = None
    device: str | None = None
    memory: str | None = None  # like 4GiB
    context: Annotated[int, Meta(ge=16)] | None = None
    sequences: Annotated[int, Meta(ge=1, le=255)] | None = None
    min_speed: Annotated[float, Meta(gt=0)] | None = None  # tokens per second
