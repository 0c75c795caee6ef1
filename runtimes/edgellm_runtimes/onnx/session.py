"""ONNX Runtime sessions: from the files of a model, or from weights that were prepared on this machine before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgellm.devices.busy import busy_cores
from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.formats.onnx_graph import point_at
from edgellm_runtimes.onnx.files import OPTIONAL_INPUTS, OnnxFiles
from edgellm_runtimes.onnx.library import explain, library, log_level

__all__ = ["PREPARED_DATA", "PREPARED_GRAPH", "open_portable", "open_prepared", "should_spin"]

PREPARED_GRAPH, PREPARED_DATA = "model.onnx", "weights.bin"

_BUSY_SHARE = 0.25  # of the threads
_SMALLEST_EXTERNAL_BYTES = 1024


def should_spin(threads: int, pause: Callable[[], object]) -> bool:
    """Whether threads may wait for work at full speed: a tenth faster, but not beside other programs."""
    return busy_cores(pause) <= _BUSY_SHARE * threads


def open_portable(files: OnnxFiles, threads: int, *, spin: bool, save_to: Path | None = None) -> Any:
    """A session of the model's own files. Its weights are brought into the processor's layout, in memory.

    ``save_to`` is a folder that gets the model with its weights in that layout. Raises ModelFileError and
    UnsupportedError.
    """
    ort = library()
    options = _options(threads, spin)
    model = files.graph_bytes
    if files.data is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(files.data.parent))
        model = point_at(model, files.data.name, OPTIONAL_INPUTS)
    else:
        model = point_at(model, "", OPTIONAL_INPUTS)
    if save_to is not None:
        options.optimized_model_filepath = str(save_to / PREPARED_GRAPH)
        for key, value in {
            "session.save_external_prepacked_constant_initializers": "1",
            "session.optimized_model_external_initializers_file_name": PREPARED_DATA,
            "session.optimized_model_external_initializers_min_size_in_bytes": str(_SMALLEST_EXTERNAL_BYTES),
        }.items():
            options.add_session_config_entry(key, value)
    return _open(ort, model, options, files.path)


def open_prepared(folder: Path, threads: int, *, spin: bool) -> Any:
    """A session of what ``open_portable`` has saved to ``folder``; the weights are mapped. Raises likewise."""
    ort = library()
    options = _options(threads, spin)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is optimized already
    return _open(ort, str(folder / PREPARED_GRAPH), options, folder)


def _options(threads: int, spin: bool) -> Any:
    options = library().SessionOptions()
    options.log_severity_level = log_level()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")  # nobody spins between two steps
    return options


def _open(ort: Any, model: bytes | str, options: Any, path: Path) -> Any:
    state = ort.capi.onnxruntime_pybind11_state
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (state.NotImplemented, state.NoSuchFile) as error:
        raise UnsupportedError(
            f"{path}: ONNX Runtime {ort.__version__} cannot run this model: {explain(error)}",
            hint="update ONNX Runtime, or pack the model again",
        ) from error
    except (state.InvalidGraph, state.InvalidProtobuf, state.InvalidArgument, state.Fail, RuntimeError) as error:
        text = explain(error)
        if "registered" in text:
            raise UnsupportedError(
                f"{path}: ONNX Runtime {ort.__version__} cannot run this model: {text}",
                hint="update ONNX Runtime, or pack the model again",
            ) from error
        raise ModelFileError(
            f"{path} cannot be loaded: {text}", hint="check it with `edgellm verify`, or pack the model again"
        ) from error
