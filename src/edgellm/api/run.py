"""POST /api/edgellm/run: an answer exactly as the engine gives it, for `edgellm run`."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.api.errors import ErrorText
from edgellm_runtimes.engine_info import EngineInfo
from edgellm_runtimes.generation import Chunk, GenerationOptions

__all__ = ["RunChunk", "RunFailure", "RunLine", "RunRequest", "RunStart"]


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to answer through the model's template, or a prompt to continue as it is; with neither of them the model
    is loaded and described.

    ``sampling`` has the fields of SamplingParams that were chosen; what it does not name is the model's own default.
    ``options`` is the rest of it; its sampling and scope do not count.
    """

    model: str
    messages: tuple[dict[str, Any], ...] | None = None
    prompt: str | None = None
    sampling: dict[str, Any] = {}
    options: GenerationOptions = GenerationOptions()
    context: int | None = None  # tokens that the conversation wants to have room for


class RunStart(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """The first line."""

    name: str  # of the bundle
    digest: str
    info: EngineInfo
    note: str = ""  # what is otherwise than was asked for


class RunChunk(msgspec.Struct, frozen=True, tag="chunk"):
    """A piece of the answer. ``texts`` has the text of each token that the logprobs of ``chunk`` name."""

    chunk: Chunk
    texts: dict[int, str] = {}


class RunFailure(msgspec.Struct, frozen=True, tag="error"):
    """The last line where something failed after the first."""

    error: ErrorText


RunLine = RunStart | RunChunk | RunFailure
