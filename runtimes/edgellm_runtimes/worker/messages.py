"""What an engine and its worker say to each other: msgpack of tagged structs, each with its length in front.

Both ends are the same version of this code. Requests and answers are numbered by the engine's side.
"""

from __future__ import annotations

import msgspec

from edgellm import errors
from edgellm.errors import BackendError, EdgeLLMError
from edgellm_runtimes.core import Delivery
from edgellm_runtimes.embedding import Embedding
from edgellm_runtimes.engine_info import EngineFacts
from edgellm_runtimes.generation import Chunk
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.path_codec import decode_path, encode_path
from edgellm_runtimes.pulse import PulseReading

__all__ = [
    "Answer",
    "AskStatistics",
    "CancelLoad",
    "CancelRequest",
    "Close",
    "Command",
    "LoadFailed",
    "LoadModel",
    "Loaded",
    "Note",
    "Phase",
    "Pieces",
    "Ping",
    "Pong",
    "Report",
    "StartEmbedding",
    "StartRequest",
    "Step",
    "Tokenize",
    "WireError",
    "WorkDone",
    "decode_command",
    "decode_report",
    "encode",
    "step_of",
]


class LoadModel(msgspec.Struct, frozen=True, tag=True):
    """The first command."""

    request: LoadRequest


class CancelLoad(msgspec.Struct, frozen=True, tag=True):
    """Loading should stop."""


class StartRequest(msgspec.Struct, frozen=True, tag=True):
    """Begin a request. ``options`` is a GenerationOptions, read on its own: a wrong one fails this request alone."""

    id: int
    prompt: list[int]
    options: msgspec.Raw


class StartEmbedding(msgspec.Struct, frozen=True, tag=True):
    """Embed texts. ``options`` is an EmbedOptions, read on its own likewise."""

    id: int
    texts: list[list[int]]
    options: msgspec.Raw


class CancelRequest(msgspec.Struct, frozen=True, tag=True):
    """Stop a request."""

    id: int


class Tokenize(msgspec.Struct, frozen=True, tag=True):
    """Answered with a list of ids."""

    call: int
    text: str
    add_special: bool
    parse_special: bool


class Pieces(msgspec.Struct, frozen=True, tag=True):
    """Answered with a list of byte strings."""

    call: int
    tokens: list[int]


class AskStatistics(msgspec.Struct, frozen=True, tag=True):
    """Answered with the scheduler's statistics."""

    call: int


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Answered with a Pong, whatever the decode thread does."""


class Close(msgspec.Struct, frozen=True, tag=True):
    """Free the model and end."""


Command = (
    LoadModel
    | CancelLoad
    | StartRequest
    | StartEmbedding
    | CancelRequest
    | Tokenize
    | Pieces
    | AskStatistics
    | Ping
    | Close
)


class WireError(msgspec.Struct, frozen=True):
    """An error of the tree in ``edgellm.errors``, by the name of its class."""

    kind: str
    message: str
    hint: str | None

    @classmethod
    def of(cls, error: EdgeLLMError) -> WireError:
        """``error`` as it is sent: a class that the tree lacks goes as the nearest one above it that is there."""
        kind = next(kind for kind in type(error).__mro__ if kind.__name__ in errors.__all__)
        return cls(kind.__name__, *(None if text is None else _unicode(text) for text in (error.message, error.hint)))  # type: ignore[arg-type]

    def rebuild(self) -> EdgeLLMError:
        """The error on the other side."""
        kind = getattr(errors, self.kind) if self.kind in errors.__all__ else BackendError
        error: EdgeLLMError = kind(self.message, hint=self.hint)
        return error


class Phase(msgspec.Struct, frozen=True, tag=True):
    """Loading has come to a new phase."""

    name: str
    total_bytes: int | None


class WorkDone(msgspec.Struct, frozen=True, tag=True):
    """Loading has got on."""

    size_bytes: int


class Note(msgspec.Struct, frozen=True, tag=True):
    """One line for the user while loading."""

    text: str


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The model is there."""

    facts: EngineFacts


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """The model is not there; the worker ends."""

    error: WireError


class Step(msgspec.Struct, frozen=True, tag=True):
    """What one step gave, by request. An error is the last thing of its request, so it comes last."""

    chunks: list[tuple[int, Chunk]]
    errors: list[tuple[int, WireError]]
    embeddings: list[tuple[int, Embedding]] = []


class Answer(msgspec.Struct, frozen=True, tag=True):
    """What a call asked for, or why there is none."""

    call: int
    value: msgspec.Raw
    error: WireError | None = None


class Pong(msgspec.Struct, frozen=True, tag=True):
    """The answer to a Ping: how the decode thread is; None before the model is loaded."""

    reading: PulseReading | None


Report = Phase | WorkDone | Note | Loaded | LoadFailed | Step | Answer | Pong


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_path)
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command, dec_hook=decode_path)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
encode = _encoder.encode
decode_command = _commands.decode
decode_report = _reports.decode


def step_of(batch: list[Delivery]) -> Step:
    """``batch`` as it is sent."""
    step = Step([], [], [])
    for request_id, item in batch:
        if isinstance(item, Chunk):
            step.chunks.append((request_id, item))
        elif isinstance(item, Embedding):
            step.embeddings.append((request_id, item))
        else:
            step.errors.append((request_id, WireError.of(item)))
    return step


def _unicode(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
