"""Does a model file load and generate here? Answered by a child process: `python -m edgellm_runtimes.smoke`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError, EdgeLLMError
from edgellm.progress import CancelToken
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.child import answer_error, begin_child, run_child

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Backend
    from edgellm_runtimes.load import LoadRequest

__all__ = ["SmokeResult", "run_smoke"]

_SENTENCE = "The quick brown fox jumps over the lazy dog."


class SmokeResult(msgspec.Struct, frozen=True):
    """What the child saw on this machine."""

    text: str  # the greedy continuation; empty of an encoder
    generated_tokens: int
    tokens_per_s: float  # decode, or of the text that was embedded; without the repacked weights, so a lower bound
    load_s: float
    peak_rss_bytes: int
    threads: int
    dimensions: int = 0  # of the vector that an encoder gave


def run_smoke(
    path: Path,
    *,
    context: int = 256,
    tokens: int = 8,
    threads: int | None = None,
    kv_type_k: str = "f16",
    kv_type_v: str = "f16",
    flash_attention: bool = True,
    adapters: Mapping[str, Path] | None = None,
    files: Mapping[str, Path] | None = None,
    timeout_s: float = 600.0,
    cancel: CancelToken | None = None,
) -> SmokeResult:
    """Load ``path`` in a child process and generate ``tokens`` greedy tokens, every logit finite; so with ``adapters``.
    An encoder embeds a sentence instead.

    ``files`` are those of a model of several files, by their names in its bundle.
    The weights are memory-mapped and not repacked, so the cost is about one read of the file and ``tokens`` steps.
    Raises ModelFileError or UnsupportedError as loading does; BackendError when the child crashes, gives logits that
    are not finite or does not end within ``timeout_s`` seconds; Interrupted. The child ends with this process, however
    that ends.
    """
    arguments = ["--model", str(path.absolute()), "--json", "--context", str(context), "--tokens", str(tokens)]
    arguments += ["--kv-type-k", kv_type_k, "--kv-type-v", kv_type_v]
    if not flash_attention:
        arguments.append("--no-flash-attention")
    for name, file in (adapters or {}).items():
        arguments += ["--adapter", f"{name}={file.absolute()}"]
    for name, file in (files or {}).items():
        arguments += ["--file", f"{name}={file.absolute()}"]
    if threads is not None:
        arguments += ["--threads", str(threads)]
    return run_child(
        "edgellm_runtimes.smoke",
        arguments,
        SmokeResult,
        what=f"the smoke test of {path}",
        subject=str(path),
        timeout_s=timeout_s,
        cancel=cancel or CancelToken(),
    )


def try_model(request: LoadRequest, settings: BackendSettings, n_tokens: int) -> SmokeResult:
    """The test itself, in this process."""
    import numpy as np

    from edgellm_runtimes.backend import TokenSlice
    from edgellm_runtimes.detokenizer import IncrementalDetokenizer
    from edgellm_runtimes.generation import AdapterUse
    from edgellm_runtimes.load import open_plain
    from edgellm_runtimes.thread_governor import ThreadGovernor

    started, path = time.monotonic(), request.model_path
    backend = open_plain(request, settings)
    try:
        load_s = time.monotonic() - started
        if "generation" not in backend.capabilities:
            return _embed_sentence(backend, load_s)
        vocabulary, detokenizer = backend.vocabulary, IncrementalDetokenizer()
        tokens = prompt = vocabulary.tokenize("Hello, my name is", add_special=True, parse_special=False)[-32:] or [0]
        text, times, governor = "", [], ThreadGovernor(backend)
        for _step in range(n_tokens):
            with governor.watch(len(tokens)):
                row = backend.decode([TokenSlice(0, tokens)])[0]
            if not np.isfinite(row).all():
                raise BackendError(
                    f"{path}: the logits are not finite", hint="the weights hold NaN or inf: check the checkpoint"
                )
            times.append(time.monotonic())
            tokens = [int(row.argmax())]  # an end token is decoded like any other: the steps are what is tested
            text += detokenizer.push(vocabulary.piece(tokens[0]))
        for name in backend.adapters:
            backend.set_adapters([AdapterUse(name)])
            backend.drop_sequence(0)
            if not np.isfinite(backend.decode([TokenSlice(0, prompt)])).all():
                raise BackendError(
                    f"with the adapter {name} the logits are not finite", hint="it is damaged, or its training diverged"
                )
        decode_s = times[-1] - times[0]
        return SmokeResult(
            text=text + detokenizer.finish(),
            generated_tokens=n_tokens,
            tokens_per_s=(n_tokens - 1) / decode_s if decode_s > 0 else 0.0,
            load_s=load_s,
            peak_rss_bytes=_peak_rss_bytes(),
            threads=settings.threads,
        )
    finally:
        backend.close()


def _embed_sentence(backend: Backend, load_s: float) -> SmokeResult:
    """Hidden states of a sentence, and its vector where the model pools by itself, every number finite."""
    import numpy as np

    from edgellm_runtimes.backend import TokenSlice

    tokens = backend.vocabulary.tokenize(_SENTENCE, add_special=True, parse_special=False)[: backend.limits.n_context]
    times = []
    for _ in range(2):  # the first call prepares what the later ones use
        began = time.monotonic()
        numbers = backend.hidden_states([TokenSlice(0, tokens)])
        times.append(time.monotonic() - began)
    pooled = backend.text_vectors([TokenSlice(0, tokens)]) if "pooling" in backend.capabilities else numbers
    if not np.isfinite(numbers).all() or not np.isfinite(pooled).all():
        raise BackendError(
            f"{backend.path}: the vectors are not finite", hint="the weights hold NaN or inf: check the checkpoint"
        )
    return SmokeResult(
        text="",
        generated_tokens=0,
        tokens_per_s=len(tokens) / max(min(times), 1e-9),
        load_s=load_s,
        peak_rss_bytes=_peak_rss_bytes(),
        threads=backend.settings.threads,
        dimensions=numbers.shape[1],
    )


def _peak_rss_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(arguments: list[str] | None = None) -> int:
    """The child: one JSON line on stdout. Returns the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m edgellm_runtimes.smoke", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--kv-type-k", default="f16")
    parser.add_argument("--kv-type-v", default="f16")
    parser.add_argument("--no-flash-attention", action="store_true")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=PATH", help="try this LoRA adapter too")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH", help="of a model of several files")
    parser.add_argument("--threads", type=int, default=0, help="0: what this machine's cores suggest")
    parser.add_argument("--parent-fd", type=int, help="a pipe: this process ends when its other end closes")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of the text alone")
    options = parser.parse_args(arguments)
    begin_child(options.parent_fd)
    try:
        from edgellm.devices.local import decode_threads
        from edgellm_runtimes.load import LoadRequest

        request = LoadRequest(
            model_path=options.model,
            adapters=_named(options.adapter),
            files=_named(options.file),
            name=options.model.name,
        )
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
        result = try_model(request, settings, max(2, options.tokens))
    except EdgeLLMError as error:
        return answer_error(error)
    sys.stdout.write((msgspec.json.encode(result).decode() if options.json else result.text) + "\n")
    return os.EX_OK


def _named(texts: Sequence[str]) -> dict[str, Path]:
    """NAME=PATH."""
    return {name: Path(file) for name, _, file in (text.partition("=") for text in texts)}


if __name__ == "__main__":
    sys.exit(main())
