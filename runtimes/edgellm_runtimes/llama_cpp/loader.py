"""How a GGUF file is loaded; see ``load.Loader``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.settings import SPARE_ROOMS
from edgellm.errors import UnsupportedError
from edgellm.formats.encoders import has_dense_layers
from edgellm.formats.gguf_split import find_parts, read_model
from edgellm_runtimes.checks import LARGEST_SEQUENCES
from edgellm_runtimes.encoder import ENCODER_SEQUENCES
from edgellm_runtimes.llama_cpp.loading import check_settings

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape
    from edgellm.progress import CancelToken, Progress
    from edgellm_runtimes.backend import BackendSettings
    from edgellm_runtimes.llama_cpp.encoder import LlamaEncoder
    from edgellm_runtimes.llama_cpp.model import LlamaBackend
    from edgellm_runtimes.load import LoadRequest

__all__ = ["LlamaLoader"]

_SPARE = 4  # sequences beside the only one that runs, for conversations that pause; they share its room


class LlamaLoader:
    """Loads the file that ``request`` names."""

    runtime = "llama.cpp"

    def __init__(self, request: LoadRequest) -> None:
        self._request = request
        self._shape: ModelShape | None = None

    def shape(self) -> ModelShape:
        """From the file's header."""
        if self._shape is None:
            self._shape = shape_from_gguf(read_model(find_parts(self._request.model_path), skip_arrays=True).header)
        return self._shape

    def fixed(self) -> dict[str, object]:
        """Everything can be chosen."""
        return {}

    def rooms(self, sequences: int) -> tuple[bool, int]:
        """One sequence shares its room with prefixes, several have cells of their own."""
        if self.shape().is_encoder:
            return False, max(0, ENCODER_SEQUENCES - sequences)
        if sequences == 1:
            return True, _SPARE
        return False, min(SPARE_ROOMS, LARGEST_SEQUENCES - sequences)

    def check(self, settings: BackendSettings) -> None:
        """What llama.cpp would abort on."""
        check_settings(settings)

    def open(
        self, settings: BackendSettings, progress: Progress, cancel: CancelToken | None
    ) -> LlamaBackend | LlamaEncoder:
        """Load it."""
        plan = self._request.plan
        if self.shape().is_encoder:
            from edgellm_runtimes.llama_cpp.encoder import LlamaEncoder

            if has_dense_layers(tensor.name for tensor in self.shape().tensors):
                raise UnsupportedError(
                    f"{self._request.model_path}: layers behind the pooling (dense_2) are not supported",
                    hint="take an embedding model without them",
                )
            if self._request.adapters:
                raise UnsupportedError(
                    f"encoders have no adapters here: {', '.join(sorted(self._request.adapters))[:200]}",
                    hint="merge the adapter into the model before it is packed",
                )
            return LlamaEncoder(
                self._request.model_path,
                settings,
                normalization=plan.text_normalization if plan is not None else "",
                space_prefix=plan is not None and plan.text_space_prefix,
                progress=progress,
                cancel=cancel,
            )
        from edgellm_runtimes.llama_cpp.model import LlamaBackend

        return LlamaBackend(
            self._request.model_path,
            settings,
            extra_ends=plan.eos_token_ids if plan is not None else (),
            normalization=plan.text_normalization if plan is not None else "",
            space_prefix=plan is not None and plan.text_space_prefix,
            adapters=self._request.adapters,
            progress=progress,
            cancel=cancel,
        )
