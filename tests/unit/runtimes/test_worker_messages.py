"""What crosses between an engine and its worker arrives as it was."""

from __future__ import annotations

import math
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm import errors
from edgellm.errors import BackendError, EdgeLLMError
from edgellm_runtimes.backend import CacheFullError
from edgellm_runtimes.generation import AdapterUse, Chunk, GenerationOptions, GenerationStats
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.sampler import TokenLogprobs
from edgellm_runtimes.sampling import SamplingParams
from edgellm_runtimes.worker import messages as wire
from edgellm_runtimes.worker.frames import FrameReader, frame


@pytest.mark.parametrize("name", errors.__all__)
@pytest.mark.parametrize("hint", [None, "try this"])
def test_every_error_of_the_tree_comes_back_as_itself(name: str, hint: str | None) -> None:
    error = getattr(errors, name)("what happened", hint=hint)
    step = wire.decode_report(wire.encode(wire.step_of([(7, error)])))
    assert isinstance(step, wire.Step)
    [(number, sent)] = step.errors
    back = sent.rebuild()
    assert (number, type(back), back.message, back.hint) == (7, type(error), "what happened", hint)


def test_an_error_of_a_deeper_class_comes_back_as_its_ancestor_in_the_tree() -> None:
    assert type(wire.WireError.of(CacheFullError("full")).rebuild()) is BackendError


def test_an_error_that_quotes_half_a_character_can_be_sent() -> None:
    sent = wire.WireError.of(EdgeLLMError("no such \ud800"))
    assert msgspec.msgpack.decode(wire.encode(sent), type=wire.WireError).message == "no such \\ud800"


@pytest.mark.parametrize("name", ["annotations", "__all__", "Exception", "", "EdgeLLMError.__init__"])
def test_a_name_that_is_no_error_is_a_backend_error(name: str) -> None:
    assert type(wire.WireError(name, "what", None).rebuild()) is BackendError


def test_options_arrive_as_they_were() -> None:
    options = GenerationOptions(
        sampling=SamplingParams(
            max_tokens=5, logit_bias={3: -math.inf, 70_000: 1.5}, seed=2**62, logprobs=4, dry_breakers=("\n", "é")
        ),
        stop=("a", "\U0001f600"),
        choices=3,
        deadline_s=1.5,
        overflow="shift",
        keep=4,
        grammar=Grammar("regex", "[a-z]+"),
        adapters=(AdapterUse("style", 0.5),),
        scope="key",
        save=True,
        speculate=False,
    )
    assert msgspec.msgpack.decode(wire.encode(options), type=GenerationOptions) == options


def test_a_load_request_arrives_as_it_was() -> None:
    request = LoadRequest(
        model_path=Path("/somewhere/model.gguf"),
        name="é",
        context=77,
        mmap=False,
        adapters={"style": Path("/somewhere/style.gguf")},
        adapter_digests={"style": "sha256:0"},
        prefix_folder=Path("/somewhere/else"),
    )
    command = wire.decode_command(wire.encode(wire.LoadModel(request)))
    assert isinstance(command, wire.LoadModel)
    assert command.request == request


def test_a_step_arrives_as_it_was() -> None:
    stats = GenerationStats(1, 2, 3, 0.5, 0.25, 0.125, 2**63 - 1)
    logprobs = (TokenLogprobs(-1.5, [(3, -math.inf), (4, -0.0)]),)
    chunks = [
        (1, Chunk("a\u0000é", (5, 6), logprobs=logprobs)),
        (2**40, Chunk("", (), "stop", "x", stats, choice=63)),
    ]
    step = wire.decode_report(wire.encode(wire.step_of([*chunks, (3, BackendError("it failed"))])))
    assert isinstance(step, wire.Step)
    assert step.chunks == chunks
    assert [(number, error.message) for number, error in step.errors] == [(3, "it failed")]


@settings(deadline=None, max_examples=50)
@given(messages=st.lists(st.binary(max_size=300), max_size=20), cut=st.integers(1, 50))
def test_frames_come_whole_and_in_order_however_they_are_cut(messages: list[bytes], cut: int) -> None:
    ours, theirs = socket.socketpair()
    stream = b"".join(map(frame, messages))

    def send() -> None:
        for start in range(0, len(stream), cut):
            theirs.sendall(stream[start : start + cut])
        theirs.close()

    sender = threading.Thread(target=send)
    sender.start()
    reader, received = FrameReader(ours), []
    while (part := reader.read()) is not None:
        received += part
    sender.join()
    ours.close()
    assert received == messages


def test_a_frame_that_was_cut_off_is_not_delivered() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(frame(b"whole") + frame(b"torn")[:-1])
    theirs.close()
    reader = FrameReader(ours)
    assert reader.read() == [b"whole"]
    assert reader.read() is None
    ours.close()


def test_a_length_that_no_message_has_is_refused() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(BackendError, match="announced"):
        FrameReader(ours).read()
    for end in (ours, theirs):
        end.close()


def test_what_cannot_be_sent_is_refused_when_it_is_encoded() -> None:
    unsendable: Any = GenerationOptions(speculate=object())  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        wire.encode(unsendable)
