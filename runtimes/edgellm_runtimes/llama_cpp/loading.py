"""From a GGUF file to a llama.cpp model and context, everything that could end the process checked before."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.errors import BackendError, ModelFileError, UnsupportedError, UsageError
from edgellm.formats.gguf_split import find_parts, read_model
from edgellm.progress import CancelToken, Progress
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.checks import check_ranges, logits_rows
from edgellm_runtimes.llama_cpp.huge_pages import HugePages
from edgellm_runtimes.llama_cpp.library import log_position, log_since

if TYPE_CHECKING:
    from edgellm_runtimes._native import AbortFlag, GraphStop

__all__ = [
    "KV_TYPES",
    "check_settings",
    "create_context",
    "create_encoder_context",
    "hidden_rows",
    "load_model",
    "pool_tokens",
]

KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "bf16": 30, "iq4_nl": 20}

_LARGEST_CONTEXT = 2**27
_EMBEDDING_LOGITS_BYTES = 32 << 20
_ROWS_STEP = 16  # rows that the matrix kernels take at once
_NO_VOCABULARY = 0  # LLAMA_VOCAB_TYPE_NONE


def check_settings(settings: BackendSettings) -> None:
    """Raise UsageError for settings that llama.cpp would refuse or abort on."""
    check_ranges(settings, _LARGEST_CONTEXT)
    if pool_tokens(settings) > _LARGEST_CONTEXT:
        raise UsageError(f"context x sequences is {pool_tokens(settings)}, beyond {_LARGEST_CONTEXT}")
    for name, kv_type in (("kv_type_k", settings.kv_type_k), ("kv_type_v", settings.kv_type_v)):
        if kv_type not in KV_TYPES:
            raise UsageError(f"{name} is {kv_type!r}; it must be one of {', '.join(KV_TYPES)}")
    if settings.kv_type_v not in ("f32", "f16", "bf16") and not settings.flash_attention:
        raise UsageError(
            f"a {settings.kv_type_v} V cache needs flash attention",
            hint="turn flash attention on, or use an f16 V cache",
        )


def hidden_rows(settings: BackendSettings, n_vocab: int) -> int:
    """Tokens whose hidden states one call can give.

    llama.cpp keeps a row of logits for each from the first such call on, though no logits are computed: the room for
    them is bounded here.
    """
    rows = _EMBEDDING_LOGITS_BYTES // (4 * n_vocab)
    return min(settings.batch, max(logits_rows(settings), rows - rows % _ROWS_STEP))


def pool_tokens(settings: BackendSettings) -> int:
    """Positions of all sequences together."""
    return settings.context * (settings.sequences + (0 if settings.shared_cells else settings.spare_sequences))


def load_model(lib: Any, path: Path, settings: BackendSettings, progress: Progress, cancel: CancelToken) -> Any:
    """Load the weights at ``path``; any part of a split model stands for all of them, which lie in the same folder.

    Raises ModelFileError, UnsupportedError, NotFoundError, Interrupted.
    """
    files = read_model(find_parts(path), skip_arrays=True)  # a torn or lying file stops here, with a clear error
    path, size_bytes = files.paths[0], files.header.file_bytes  # llama.cpp finds the others by the first one's name
    params = lib.llama_model_default_params()
    params.n_gpu_layers = 0
    params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if settings.mmap else lib.LLAMA_LOAD_MODE_NONE
    params.use_extra_bufts = settings.repack
    progress.phase("load", size_bytes)
    done_bytes = 0
    pages: HugePages | None = HugePages()

    def report(fraction: float, _user_data: object) -> bool:
        nonlocal done_bytes, pages
        if pages is not None:  # the buffers are there when this is called first, and nothing is in them
            pages.ask()
            pages = None
        reached = min(size_bytes, int(fraction * size_bytes))
        if reached > done_bytes:
            progress.advance(reached - done_bytes)
            done_bytes = reached
        return not cancel.cancelled

    params.progress_callback = callback = lib.llama_progress_callback(report)
    mark = log_position()
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    del callback
    cancel.check()
    if not model:
        reason = log_since(mark) or "llama.cpp gave no reason"
        if "unknown model architecture" in reason or "unknown pre-tokenizer" in reason:
            raise UnsupportedError(
                f"{path}: the installed llama.cpp cannot run this model: {reason}", hint="update llama-cpp-python"
            )
        raise ModelFileError(
            f"{path} cannot be loaded: {reason}", hint="check it with `edgellm verify`, download or convert it again"
        )
    try:
        _refuse_unusable(lib, model, path)
    except BaseException:
        lib.llama_model_free(model)
        raise
    return model


def _refuse_unusable(lib: Any, model: Any, path: Path) -> None:
    """Models that load but whose first call would abort, or that do not generate."""
    if lib.llama_vocab_type(lib.llama_model_get_vocab(model)) == _NO_VOCABULARY:
        raise ModelFileError(f"{path} has no tokenizer inside", hint="convert the model again with its tokenizer")
    if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
        raise UnsupportedError(f"{path} has an encoder and a decoder: models of one of them alone are supported")
    if lib.llama_model_is_diffusion(model):
        raise UnsupportedError(f"{path} is a diffusion model: only models that decode left to right are supported")


def create_context(
    lib: Any, model: Any, settings: BackendSettings, abort_flag: AbortFlag, stop: GraphStop, n_hidden: int
) -> Any:
    """A context for ``model`` whose decode fails when ``abort_flag`` is set, and ends where ``stop`` says.

    ``n_hidden`` is ``hidden_rows``. Raises BackendError.
    """
    n_pool = pool_tokens(settings)
    n_batch = min(settings.batch, n_pool)
    params = _params(lib, settings, abort_flag, n_outputs=max(logits_rows(settings), n_hidden))
    params.n_ctx = n_pool
    params.n_batch = n_batch
    params.n_ubatch = min(settings.ubatch, n_batch)
    params.kv_unified = settings.shared_cells
    params.cb_eval = ctypes.cast(stop.callback, lib.ggml_backend_sched_eval_callback)
    params.cb_eval_user_data = stop.data
    return _context(lib, model, params)


def create_encoder_context(lib: Any, model: Any, settings: BackendSettings, abort_flag: AbortFlag) -> Any:
    """A context that takes whole texts, ``settings.batch`` tokens of them at once. Raises BackendError."""
    n_batch = max(settings.batch, settings.context)
    params = _params(lib, settings, abort_flag, n_outputs=n_batch)
    params.n_ctx = n_batch  # of what would be kept: nothing is
    params.n_batch = params.n_ubatch = n_batch
    params.kv_unified = True
    params.embeddings = True
    return _context(lib, model, params)


def _params(lib: Any, settings: BackendSettings, abort_flag: AbortFlag, *, n_outputs: int) -> Any:
    params = lib.llama_context_default_params()
    params.n_seq_max = settings.sequences + settings.spare_sequences
    params.n_outputs_max = n_outputs  # unset, logits room for a whole batch is reserved: hundreds of MB
    params.n_outputs_max_per_seq = n_outputs
    params.n_threads = settings.threads
    params.n_threads_batch = settings.batch_threads
    params.type_k = KV_TYPES[settings.kv_type_k]
    params.type_v = KV_TYPES[settings.kv_type_v]
    params.flash_attn_type = (
        lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if settings.flash_attention else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE  # its pooling forgets all but the last part of a text
    params.swa_full = False
    params.no_perf = True
    params.abort_callback = ctypes.cast(abort_flag.callback, lib.ggml_abort_callback)
    params.abort_callback_data = abort_flag.data
    return params


def _context(lib: Any, model: Any, params: Any) -> Any:
    mark, pages = log_position(), HugePages()
    context = lib.llama_init_from_model(model, params)
    if not context:
        raise BackendError(
            f"llama.cpp could not make room for a context of {params.n_ctx} tokens: "
            f"{log_since(mark) or 'no reason given'}",
            hint="try a smaller --context, or another KV type",
        )
    pages.collect()
    return context
