"""How an ONNX model is loaded; see ``load.Loader``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.devices.onnx_shape import shape_from_onnx
from edgellm.devices.settings import SPARE_ROOMS
from edgellm.errors import UnsupportedError
from edgellm_runtimes.checks import LARGEST_SEQUENCES
from edgellm_runtimes.encoder import ENCODER_SEQUENCES
from edgellm_runtimes.onnx.files import OnnxFiles
from edgellm_runtimes.onnx.loading import check_encoder_settings, check_settings, kv_type, positions

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape
    from edgellm.progress import CancelToken, Progress
    from edgellm_runtimes.backend import BackendSettings, Vocabulary
    from edgellm_runtimes.load import LoadRequest
    from edgellm_runtimes.onnx.encoder import OnnxEncoder
    from edgellm_runtimes.onnx.model import OnnxBackend

__all__ = ["OnnxLoader", "read_vocabulary"]

_SPARE_ALONE = 1  # as RunSettings.rooms counts it


class OnnxLoader:
    """Loads the files that ``request`` names."""

    runtime = "onnxruntime"

    def __init__(self, request: LoadRequest) -> None:
        self._request = request
        self._files = OnnxFiles(request.model_path, request.files or None)
        if request.adapters:
            raise UnsupportedError(
                f"ONNX models have no adapters here: {', '.join(sorted(request.adapters))[:200]}",
                hint="pack the model with its adapters as GGUF",
            )

    def shape(self) -> ModelShape:
        """From the graph and genai_config.json."""
        config, decoder = self._files.config, self._files.config.decoder
        is_encoder = self._files.encoder is not None
        return shape_from_onnx(
            self._files.graph,
            architecture=config.type,
            n_embd=decoder.hidden_size,
            n_heads=decoder.num_attention_heads,
            n_vocab=config.vocab_size,
            context_length=positions(self._files.graph, config),
            kv_heads=decoder.num_key_value_heads,
            head_size=decoder.head_size,
            n_layers=decoder.num_hidden_layers,
            is_encoder=is_encoder,
            file_bytes=self._files.size_bytes,
        )

    def fixed(self) -> dict[str, object]:
        """The type of the cache is a part of the graph, its attention keeps scores, and its weights are rearranged."""
        kind = "f32" if self._files.encoder is not None else kv_type(self._files.graph)
        return {"kv_type_k": kind, "kv_type_v": kind, "flash_attention": False, "repack": True}

    def rooms(self, sequences: int) -> tuple[bool, int]:
        """Every sequence has cells of its own; an encoder has none at all."""
        if self._files.encoder is not None:
            return False, max(0, ENCODER_SEQUENCES - sequences)
        return False, _SPARE_ALONE if sequences == 1 else min(SPARE_ROOMS, LARGEST_SEQUENCES - sequences)

    def check(self, settings: BackendSettings) -> None:
        """What the graph cannot compute."""
        if self._files.encoder is not None:
            check_encoder_settings(settings, self._files.config)
        else:
            check_settings(settings, self._files.config, self._files.graph)

    def open(
        self, settings: BackendSettings, progress: Progress, cancel: CancelToken | None
    ) -> OnnxBackend | OnnxEncoder:
        """Load it."""
        if self._files.encoder is not None:
            from edgellm_runtimes.onnx.encoder import OnnxEncoder

            return OnnxEncoder(
                self._request.model_path,
                settings,
                files=self._request.files or None,
                prepared=self._request.prepared_folder if settings.mmap else None,
                progress=progress,
                cancel=cancel,
            )
        from edgellm_runtimes.onnx.model import OnnxBackend

        plan = self._request.plan
        return OnnxBackend(
            self._request.model_path,
            settings,
            files=self._request.files or None,
            extra_ends=plan.eos_token_ids if plan is not None else (),
            prepared=self._request.prepared_folder if settings.mmap else None,  # they are nothing but mapped
            progress=progress,
            cancel=cancel,
        )


def read_vocabulary(path: Path, files: Mapping[str, Path]) -> tuple[Vocabulary, str | None]:
    """The vocabulary and the chat template of a model, its weights left alone. Raises as loading does."""
    from edgellm_runtimes.onnx.template import chat_template
    from edgellm_runtimes.onnx.vocabulary import TokenizersVocabulary

    found = OnnxFiles(path, files or None)
    return TokenizersVocabulary(found), chat_template(found)
