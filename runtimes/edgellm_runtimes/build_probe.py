"""What the installed native code was built for, and whether it runs here: asked of `python -m
edgellm_runtimes.build_probe`.

Native code for another processor ends its process with SIGILL, some of it while it is loaded. So a child loads it, and
says before each step what it is about to do: the last step that it named is the one that ended it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec

__all__ = ["BuildReport", "StepResult", "probe_build"]

_TIMEOUT_S = 60.0
_FEATURE_NAMES = (
    *("avx", "avx_vnni", "avx2", "f16c", "fma", "bmi2", "avx512", "avx512_vbmi", "avx512_vnni", "avx512_bf16"),
    *("amx_int8", "neon", "fp16_va", "dotprod", "matmul_int8", "sve", "sme", "riscv_v"),
)
_Q4_0, _Q8_0, _Q4_K, _Q8_K = 2, 8, 12, 15  # enum ggml_type
_BLOCK = 256  # values of one K-quant block


class StepResult(msgspec.Struct, frozen=True):
    """One step of the child. ``error`` is empty when it went well."""

    name: str
    error: str = ""
    signal: str = ""  # SIGILL and the like, when the step ended the process


class BuildReport(msgspec.Struct, frozen=True):
    """What the child said. ``features`` are the ggml_cpu_has_ names that answer yes; None when it did not get there."""

    steps: tuple[StepResult, ...]
    features: tuple[str, ...] | None = None

    def step(self, name: str) -> StepResult | None:
        """The step called ``name``; None when the child ended before it."""
        return next((step for step in self.steps if step.name == name), None)


def probe_build(
    modules: Sequence[str] = (), *, command: Sequence[str] | None = None, timeout_s: float = _TIMEOUT_S
) -> BuildReport:
    """Load llama.cpp and the extension ``modules`` in a child process. Steps: "llama.cpp", "kernels", each module.

    ``command`` replaces the child. Raises nothing: what goes wrong is in the report.
    """
    command = command or [sys.executable, "-P", "-m", "edgellm_runtimes.build_probe", *modules]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        return _report(error.stdout or b"", f"it did not end within {timeout_s:g} s", "")
    except OSError as error:
        return _report(b"", f"it cannot be started: {error}", "")
    if done.returncode < 0:
        return _report(done.stdout, "it ended the process", _signal_name(-done.returncode))
    detail = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
    return _report(done.stdout, detail or f"the process ended with status {done.returncode}", "")


def _report(output: bytes, end: str, ended_by: str) -> BuildReport:
    """Read the child's lines; a step without a result is the one in which it ended."""
    steps: dict[str, StepResult] = {}
    features: tuple[str, ...] | None = None
    for line in output[: 1 << 20].splitlines():
        try:
            said = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            continue
        if said.features is not None:
            features = tuple(said.features)
        if said.step:
            failed = StepResult(said.step, end, ended_by) if said.error is None else StepResult(said.step, said.error)
            steps[said.step] = failed
    if not steps:
        steps["llama.cpp"] = StepResult("llama.cpp", end, ended_by)
    return BuildReport(tuple(steps.values()), features)


class _Line(msgspec.Struct):
    """A line of the child: ``error`` missing = the step begins, empty = it went well."""

    step: str = ""
    error: str | None = None
    features: list[str] | None = None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _run(name: str, action: Callable[[], object]) -> None:
    _say(step=name)
    try:
        action()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what the report is about
        _say(step=name, error=f"{error or type(error).__name__}")
    else:
        _say(step=name, error="")


def _load_llama_cpp() -> None:
    """Say what it was built for before its own initialisation runs the code that was built."""
    from edgellm_runtimes.accelerators import library_folder
    from edgellm_runtimes.llama_cpp.library import library

    folder = library_folder()
    for path in sorted(folder.glob("libggml-cpu.*")) if folder is not None else ():
        cpu = ctypes.CDLL(str(path))
        _say(features=list(_features(cpu)))
        break
    lib = library()
    if folder is None or not any(folder.glob("libggml-cpu.*")):  # several variants, chosen while it initialises
        pairs = lib.llama_print_system_info().decode("utf-8", "replace").split("|")
        _say(features=[pair.split(" =")[0].split()[-1].lower() for pair in pairs if pair.strip().endswith("= 1")])


def _features(cpu: ctypes.CDLL) -> Iterable[str]:
    for name in _FEATURE_NAMES:
        function = getattr(cpu, f"ggml_cpu_has_{name}", None)
        if function is not None and function():
            yield name


class _CpuTraits(ctypes.Structure):
    """struct ggml_type_traits_cpu of ggml-cpu.h."""

    _fields_ = (
        ("from_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        (
            "vec_dot",
            ctypes.CFUNCTYPE(
                None,
                *(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t),
                *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
            ),
        ),
        ("vec_dot_type", ctypes.c_int),
        ("nrows", ctypes.c_int64),
    )


def _run_kernels() -> None:
    """Quantize and multiply one block of ones with the processor's own instructions."""
    from edgellm_runtimes.llama_cpp.library import library

    native = library()._lib
    function = getattr(native, "ggml_get_type_traits_cpu", None)
    if function is None:
        return
    native.ggml_cpu_init()
    function.argtypes, function.restype = [ctypes.c_int], ctypes.POINTER(_CpuTraits)
    ones = (ctypes.c_float * _BLOCK)(*([1.0] * _BLOCK))
    for weights, values in ((_Q4_0, _Q8_0), (_Q4_K, _Q8_K)):
        traits = function(weights).contents
        if not traits.vec_dot or not traits.from_float or traits.vec_dot_type != values:
            continue  # another llama.cpp, with other pairs
        x, y, result = (ctypes.create_string_buffer(_BLOCK * 4 + 64) for _ in range(3))
        traits.from_float(ones, x, _BLOCK)
        function(values).contents.from_float(ones, y, _BLOCK)
        traits.vec_dot(_BLOCK, result, 0, x, 0, y, 0, 1)
        got = ctypes.cast(result, ctypes.POINTER(ctypes.c_float))[0]
        if not abs(got - _BLOCK) < 0.1 * _BLOCK:
            raise ArithmeticError(f"a dot product of {_BLOCK} ones gives {got:g}")


def main(arguments: list[str] | None = None) -> int:
    """The child: JSON lines on stdout."""
    import resource

    modules = sys.argv[1:] if arguments is None else arguments
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for module in modules:
        _run(module, functools.partial(importlib.import_module, module))
    _run("llama.cpp", _load_llama_cpp)
    _run("kernels", _run_kernels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
