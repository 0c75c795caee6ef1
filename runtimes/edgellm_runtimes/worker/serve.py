"""The worker's side: a model in this process, driven over a socket.

Threads: this one reads commands; the scheduler's decode thread writes what a step gave, itself and at once; one loads;
two tokenize. If the other side does not read, the decode thread waits for it: all requests have that reader in common.
"""

from __future__ import annotations

import os
import socket
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from edgellm.errors import EdgeLLMError, UsageError
from edgellm.progress import CancelToken
from edgellm_runtimes.core import Delivery
from edgellm_runtimes.embedding import EmbedOptions, EmbedRequest
from edgellm_runtimes.generation import GenerationOptions, Request
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.local_core import LocalCore
from edgellm_runtimes.worker import messages as wire
from edgellm_runtimes.worker.frames import FrameReader, frame
from edgellm_runtimes.worker.manners import begin_worker

__all__ = ["Server", "main"]

_NO_VALUE = msgspec.Raw(b"\xc0")  # nil
_options: msgspec.msgpack.Decoder[GenerationOptions] = msgspec.msgpack.Decoder(GenerationOptions)
_embed_options: msgspec.msgpack.Decoder[EmbedOptions] = msgspec.msgpack.Decoder(EmbedOptions)


class Outlet:
    """The sending side of the socket, for all threads. Its methods are also the Progress of loading."""

    def __init__(self, target: socket.socket) -> None:
        self._target = target
        self._lock = threading.Lock()

    def send(self, report: wire.Report) -> None:
        """Send ``report``, waiting for the reader if need be. The process ends here when there is none any more."""
        message = frame(wire.encode(report))
        try:
            with self._lock:
                self._target.sendall(message)
        except OSError:
            os._exit(os.EX_TEMPFAIL)

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """See ``Progress``."""
        self.send(wire.Phase(name, total_bytes))

    def advance(self, size_bytes: int) -> None:
        """See ``Progress``."""
        self.send(wire.WorkDone(size_bytes))

    def message(self, text: str) -> None:
        """See ``Progress``."""
        self.send(wire.Note(text))


class Server:
    """Takes commands until there are none."""

    def __init__(self, connection: socket.socket) -> None:
        self._reader = FrameReader(connection)
        self._outlet = Outlet(connection)
        self._cancel_load = CancelToken()
        self._loading: threading.Thread | None = None
        self._core: LocalCore | None = None
        self._tokenizers = ThreadPoolExecutor(2, thread_name_prefix="edgellm-tokenize")

    def run(self) -> None:
        """Until the parent closes the socket or tells to close."""
        while (received := self._reader.read()) is not None:
            for message in received:
                command = wire.decode_command(message)
                if isinstance(command, wire.Close):
                    self._close()
                    return
                self._take(command)

    def _take(self, command: wire.Command) -> None:
        match command:
            case wire.StartRequest() | wire.StartEmbedding():
                self._start(command)
            case wire.CancelRequest():
                self._model().cancel(command.id)
            case wire.Tokenize():
                self._tokenizers.submit(self._tokenize, command)
            case wire.Pieces():
                self._answer(command.call, lambda: self._model().pieces(command.tokens))
            case wire.AskStatistics():
                self._answer(command.call, self._model().statistics)
            case wire.Ping():
                self._outlet.send(wire.Pong(None if self._core is None else self._core.pulse()))
            case wire.LoadModel():
                self._loading = threading.Thread(target=self._load, args=(command.request,), name="edgellm-load")
                self._loading.start()
            case wire.CancelLoad():
                self._cancel_load.cancel()

    def _load(self, request: LoadRequest) -> None:
        try:
            core = LocalCore.load(request, self._deliver, progress=self._outlet, cancel=self._cancel_load)
        except EdgeLLMError as error:
            self._outlet.send(wire.LoadFailed(wire.WireError.of(error)))
        except BaseException:  # noqa: BLE001  the parent reads it from the output
            traceback.print_exc()
            os._exit(os.EX_SOFTWARE)
        else:
            self._core = core
            self._outlet.send(wire.Loaded(core.facts))

    def _start(self, command: wire.StartRequest | wire.StartEmbedding) -> None:
        try:
            if isinstance(command, wire.StartEmbedding):
                options = _embed_options.decode(command.options)
                self._model().start(EmbedRequest(command.id, command.texts, options))
            else:
                self._model().start(Request(command.id, command.prompt, _options.decode(command.options)))
        except msgspec.ValidationError as error:
            self._deliver([(command.id, UsageError(f"the options of the request are off: {error}"))])
        except EdgeLLMError as error:
            self._deliver([(command.id, error)])

    def _deliver(self, batch: list[Delivery]) -> None:
        self._outlet.send(wire.step_of(batch))

    def _tokenize(self, command: wire.Tokenize) -> None:
        model, special = self._model(), {"add_special": command.add_special, "parse_special": command.parse_special}
        self._answer(command.call, lambda: model.tokenize(command.text, **special))

    def _answer(self, call: int, compute: Any) -> None:
        try:
            answer = wire.Answer(call, msgspec.Raw(wire.encode(compute())))
        except EdgeLLMError as error:
            answer = wire.Answer(call, _NO_VALUE, wire.WireError.of(error))
        self._outlet.send(answer)

    def _model(self) -> LocalCore:
        assert self._core is not None, "a command came before the model"
        return self._core

    def _close(self) -> None:
        self._cancel_load.cancel()
        if self._loading is not None:
            self._loading.join()
        if self._core is not None:
            self._core.close()


def main(arguments: list[str] | None = None) -> int:
    """Serve one engine. Ends the process."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m edgellm_runtimes.worker", description=__doc__)
    parser.add_argument("--socket-fd", type=int, required=True, help="where commands come from and reports go to")
    parser.add_argument(
        "--parent-fd", type=int, required=True, help="a pipe: this process ends when its other end closes"
    )
    options = parser.parse_args(arguments)
    begin_worker(options.parent_fd)
    try:
        Server(socket.socket(fileno=options.socket_fd)).run()
    except BaseException:  # noqa: BLE001  likewise
        traceback.print_exc()
        os._exit(os.EX_SOFTWARE)
    os._exit(os.EX_OK)  # the kernel frees faster than the interpreter
