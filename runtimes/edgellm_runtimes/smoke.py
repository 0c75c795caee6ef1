"""Does a model file load and generate here? Answered by a child process: `python -m edgellm_runtimes.smoke`.

Native code that meets a CPU it was not built for, or a file that it does not expect, ends its process. The child ends;
the caller gets an error that names the signal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from edgellm import errors
from edgellm.errors import BackendError, EdgeLLMError
from edgellm.progress import CancelToken
from edgellm_runtimes.backend import BackendSettings

__all__ = ["SmokeResult", "run_smoke"]

_POLL_S = 0.1
_SIGNAL_HINTS = {
    "SIGILL": "llama.cpp was built for another CPU: pip install --force-reinstall --no-cache-dir llama-cpp-python",
    "SIGKILL": "most likely memory ran out: close other programs, or choose a smaller recipe",
}


class SmokeResult(msgspec.Struct, frozen=True):
    """What the child saw on this machine."""

    text: str  # the greedy continuation
    generated_tokens: int
    tokens_per_s: float  # decode; without the repacked weights, so a lower bound
    load_s: float
    peak_rss_bytes: int
    threads: int


def run_smoke(
    path: Path,
    *,
    context: int = 256,
    tokens: int = 8,
    threads: int | None = None,
    kv_type_k: str = "f16",
    kv_type_v: str = "f16",
    flash_attention: bool = True,
    timeout_s: float = 600.0,
    cancel: CancelToken | None = None,
) -> SmokeResult:
    """Load ``path`` in a child process and generate ``tokens`` greedy tokens, every logit finite.

    The weights are memory-mapped and not repacked, so the cost is about one read of the file and ``tokens`` steps.
    Raises ModelFileError or UnsupportedError as loading does; BackendError when the child crashes, gives logits that
    are not finite or does not end within ``timeout_s`` seconds; Interrupted. The child ends with this process, however
    that ends.
    """
    command = [sys.executable, "-P", "-m", "edgellm_runtimes.smoke", "--model", str(path.absolute()), "--json"]
    command += ["--context", str(context), "--tokens", str(tokens)]
    command += ["--kv-type-k", kv_type_k, "--kv-type-v", kv_type_v]
    if not flash_attention:
        command.append("--no-flash-attention")
    if threads is not None:
        command += ["--threads", str(threads)]
    try:
        done = _watched(command, timeout_s, cancel or CancelToken())
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"the smoke test of {path} did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise BackendError(f"the smoke test of {path} cannot be started: {error}") from error
    if done.returncode < 0:
        raise _crash(path, -done.returncode)
    try:
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise _rebuild(answer["error"])
        return msgspec.convert(answer, SmokeResult)
    except (ValueError, msgspec.ValidationError) as error:
        detail = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise BackendError(
            f"the smoke test of {path} ended with status {done.returncode}: {detail or 'no output'}"
        ) from error


def _watched(command: list[str], timeout_s: float, cancel: CancelToken) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` until it ends, the time is over or somebody cancels.

    It has a session of its own, so that Ctrl-C reaches it through us alone, and the reading end of a pipe whose writing
    end only this process holds: when that closes, it ends itself.
    """
    parent_fd, alive_fd = os.pipe()
    try:
        child = subprocess.Popen(
            [*command, "--parent-fd", str(parent_fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(parent_fd,),
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                try:
                    out, err = child.communicate(timeout=_POLL_S)
                except subprocess.TimeoutExpired:
                    cancel.check()
                    if time.monotonic() > deadline:
                        raise
                else:
                    return subprocess.CompletedProcess(command, child.returncode, out, err)
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
    finally:
        os.close(parent_fd)
        os.close(alive_fd)


def _end_with_parent(parent_fd: int) -> None:
    """Wait, in a thread, until the parent's end of the pipe closes; then end this process at once."""

    def wait() -> None:
        while os.read(parent_fd, 1):
            pass
        os._exit(os.EX_TEMPFAIL)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _crash(path: Path, number: int) -> BackendError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return BackendError(f"the runtime crashed ({name}) on {path}", hint=_SIGNAL_HINTS.get(name))


def _rebuild(fields: dict[str, str | None]) -> EdgeLLMError:
    """The error that the child met, as the same class."""
    kind: type[EdgeLLMError] = getattr(errors, fields["type"] or "", BackendError)
    return kind(fields["message"] or "", hint=fields["hint"])


def generate_greedily(path: Path, settings: BackendSettings, n_tokens: int) -> SmokeResult:
    """The test itself, in this process."""
    import resource

    import numpy as np

    from edgellm_runtimes.backend import TokenSlice
    from edgellm_runtimes.detokenizer import IncrementalDetokenizer
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    started = time.monotonic()
    backend = LlamaBackend(path, settings)
    try:
        load_s = time.monotonic() - started
        vocabulary, detokenizer = backend.vocabulary, IncrementalDetokenizer()
        tokens = vocabulary.tokenize("Hello, my name is", add_special=True, parse_special=False)[-32:] or [0]
        text, times = "", []
        for _step in range(n_tokens):
            row = backend.decode([TokenSlice(0, tokens)])[0]
            if not np.isfinite(row).all():
                raise BackendError(
                    f"{path}: the logits are not finite", hint="the weights hold NaN or inf: check the checkpoint"
                )
            times.append(time.monotonic())
            tokens = [int(row.argmax())]  # an end token is decoded like any other: the steps are what is tested
            text += detokenizer.push(vocabulary.piece(tokens[0]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        decode_s = times[-1] - times[0]
        return SmokeResult(
            text=text + detokenizer.finish(),
            generated_tokens=n_tokens,
            tokens_per_s=(n_tokens - 1) / decode_s if decode_s > 0 else 0.0,
            load_s=load_s,
            peak_rss_bytes=peak,
            threads=settings.threads,
        )
    finally:
        backend.close()


def main(arguments: list[str] | None = None) -> int:
    """The child: one JSON line on stdout. Returns the exit status."""
    import argparse
    import resource

    parser = argparse.ArgumentParser(prog="python -m edgellm_runtimes.smoke", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--kv-type-k", default="f16")
    parser.add_argument("--kv-type-v", default="f16")
    parser.add_argument("--no-flash-attention", action="store_true")
    parser.add_argument("--threads", type=int, default=0, help="0: what this machine's cores suggest")
    parser.add_argument("--parent-fd", type=int, help="a pipe: this process ends when its other end closes")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of the text alone")
    options = parser.parse_args(arguments)
    if options.parent_fd is not None:
        _end_with_parent(options.parent_fd)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        from edgellm.devices.local import decode_threads

        threads = options.threads or decode_threads()
        settings = BackendSettings(
            context=options.context,
            batch=64,
            ubatch=64,
            threads=threads,
            batch_threads=threads,
            kv_type_k=options.kv_type_k,
            kv_type_v=options.kv_type_v,
            flash_attention=not options.no_flash_attention,
            repack=False,
        )
        result = generate_greedily(options.model, settings, max(2, options.tokens))
    except EdgeLLMError as error:
        fields = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        sys.stdout.write(json.dumps({"error": fields}) + "\n")
        return error.exit_code
    sys.stdout.write((msgspec.json.encode(result).decode() if options.json else result.text) + "\n")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
