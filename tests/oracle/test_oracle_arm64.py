"""Our compiled modules, cross-built by CMake for 64-bit ARM, imported and called by a real ARM Python under qemu."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle_tools import arm_python

from edgellm_converters import _quantize
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import SamplingParams

pytestmark = pytest.mark.oracle
REPOSITORY = Path(__file__).resolve().parents[2]
TRIPLE = "aarch64-linux-gnu"
N_BLOCKS = 64

PROBE = """
import array, ctypes, hashlib, json, platform, struct, sys
sys.path.insert(0, sys.argv[1])
from edgellm_converters import _quantize
from edgellm_runtimes import _native
values = array.array("f")
values.frombytes(sys.stdin.buffer.read())
blocks = {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210}
found = {"machine": platform.machine(), "features": _native.cpu_features(), "kernels": _quantize.kernel_names()}
for name, size in blocks.items():
    n = len(values) // 256
    out, left = bytearray(n * size), bytearray(n)
    missed = _quantize.quantize("baseline", name, values, out, left)
    found[name] = [missed, hashlib.sha256(out).hexdigest()]
flag = _native.AbortFlag()
read = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)(flag.callback)
found["flag"] = [read(flag.data), flag.set(), read(flag.data)]
print(json.dumps(found))
"""

# The ARM Python has no NumPy: a memoryview is a matrix too.
SAMPLE = """
import array, json, sys
sys.path.insert(0, sys.argv[1])
from edgellm_runtimes import _sampling
given = json.loads(sys.stdin.buffer.readline())
rows, n_vocab = len(given["parameters"]), given["n_vocab"]
values, bits = array.array("f"), array.array("I")
values.frombytes(sys.stdin.buffer.read(rows * n_vocab * 4))
bits.frombytes(sys.stdin.buffer.read())
logits = memoryview(values).cast("B").cast("f", [rows, n_vocab])
masks = memoryview(bits).cast("B").cast("I", [rows, len(bits) // rows])
sequences = [_sampling.Sequence(parameters) for parameters in given["parameters"]]
found = {"tiers": _sampling.tiers(), "steps": [], "kept": []}
for sequence in sequences:
    sequence.prompt(array.array("i", given["prompt"]))
for step in range(given["steps"]):
    tokens = _sampling.sample(sequences, logits, masks if step % 2 else None, 2)
    found["steps"].append([tokens, [[s.logprob, s.top_logprobs, s.mirostat_mu] for s in sequences]])
for i, sequence in enumerate(sequences):
    row = memoryview(values)[i * n_vocab : (i + 1) * n_vocab].cast("B").cast("f", [1, n_vocab])
    found["kept"].append(_sampling.distribution(sequence, row, uniforms=memoryview(bytes(16)).cast("d", [1, 2])))
print(json.dumps(found))
"""
SAMPLED = [
    {},
    {"temperature": 0.0, "logprobs": 3},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.3, "logprobs": 5},
    {"top_k": 0, "top_p": 0.97, "min_p": 0.0, "logprobs": 5, "logprob_scope": "processed"},
    {"top_k": 0, "typical_p": 0.8, "order": "transformers"},
    {"top_k": 2000, "top_n_sigma": 1.5, "xtc_probability": 0.5, "dynamic_temperature_range": 0.4, "order": "vllm"},
    {"mirostat": 2, "repetition_penalty": 1.2, "frequency_penalty": 0.3},
    {"dry_multiplier": 0.8, "logit_bias": {7: 4.0, 9: -100.0}, "temperature": 1.5},
]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ARM builds of all our compiled modules."""
    root, compiler, cmake, ninja = (
        arm_python(),
        shutil.which(f"{TRIPLE}-g++"),
        shutil.which("cmake"),
        shutil.which("ninja"),
    )
    missing = [
        name
        for name, found in (
            ("an ARM Python", root.is_dir()),
            (f"{TRIPLE}-g++", compiler),
            ("cmake", cmake),
            ("ninja", ninja),
        )
        if not found
    ]
    if missing or sys.version_info[:2] != (3, 11):
        pytest.skip(f"needs {', '.join(missing) or 'Python 3.11, like the ARM one'}")
    nanobind = pytest.importorskip("nanobind")
    folder = tmp_path_factory.mktemp("arm64")
    toolchain = folder / "toolchain.cmake"
    toolchain.write_text(
        f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\nset(CMAKE_CXX_COMPILER {compiler})\n"
    )
    values = {
        "CMAKE_TOOLCHAIN_FILE": toolchain,
        "CMAKE_CXX_FLAGS": f"-I{root}/usr/include",
        "nanobind_DIR": nanobind.cmake_dir(),
        "Python_EXECUTABLE": sys.executable,
        "Python_INCLUDE_DIR": root / "usr" / "include" / "python3.11",
    }
    build = folder / "build"
    run([cmake, "-G", "Ninja", "-S", REPOSITORY, "-B", build, *(f"-D{name}={value}" for name, value in values.items())])
    run([cmake, "--build", build])
    site = folder / "site"
    for module in build.glob("_*.so"):
        name = module.name.partition(".")[0]
        package = site / ("edgellm_converters" if name == "_quantize" else "edgellm_runtimes")
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        shutil.copyfile(module, package / f"{name}.cpython-311-{TRIPLE}.so")
    return site


def run(command: list[object], **options: object) -> bytes:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, timeout=600, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    return bytes(done.stdout)


def on_arm(site: Path, program: str, stdin: bytes) -> object:
    """What ``program`` prints as JSON on an ARM Python."""
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None:
        pytest.skip("needs qemu-aarch64")
    root = arm_python()
    libraries = ":".join(f"{root}/{folder}/{TRIPLE}" for folder in ("lib", "usr/lib")) + f":/usr/{TRIPLE}/lib"
    variables = ["-E", f"LD_LIBRARY_PATH={libraries}", "-E", f"PYTHONHOME={root}/usr"]
    output = run([emulator, "-L", root, *variables, root / "usr/bin/python3.11", "-c", program, site], input=stdin)
    return json.loads(output)


def test_the_modules_work_on_an_arm_python(packages: Path) -> None:
    values = np.random.default_rng(5).normal(0, 0.02, N_BLOCKS * 256).astype(np.float32)
    found = on_arm(packages, PROBE, values.tobytes())
    assert isinstance(found, dict)
    assert found["machine"] == "aarch64"
    assert "asimd" in found["features"]
    assert found["kernels"] == ["baseline"]
    assert found["flag"] == [False, None, True]
    for name, size in (("Q4_K", 144), ("Q5_K", 176), ("Q6_K", 210)):
        blocks, left = np.zeros(N_BLOCKS * size, np.uint8), np.zeros(N_BLOCKS, np.uint8)
        missed = _quantize.quantize(_quantize.kernel_names()[0], name, values, blocks, left)
        assert found[name] == [missed, hashlib.sha256(blocks.tobytes()).hexdigest()], name


def test_an_arm_python_samples_the_same_tokens(packages: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    rows, n_vocab = len(SAMPLED), 40009
    logits = rng.normal(0, 3, (rows, n_vocab)).astype(np.float32)
    masks = rng.integers(0, 2**32, (rows, (n_vocab + 31) // 32), dtype=np.uint32)
    parameters = [native_parameters(SamplingParams(**options), 11) for options in SAMPLED]
    given = {"parameters": parameters, "n_vocab": n_vocab, "prompt": [5, 6, 7, 8, 5, 6, 7], "steps": 12}
    stdin = json.dumps(given).encode() + b"\n" + logits.tobytes() + masks.tobytes()
    found = on_arm(packages, SAMPLE, stdin)
    wanted = json.loads(run([sys.executable, "-c", SAMPLE, tmp_path], input=stdin))
    assert isinstance(found, dict)
    assert found.pop("tiers") == ["neon"]
    assert "neon" not in wanted.pop("tiers")
    assert found == wanted  # tokens, log-probabilities, kept sets and probabilities, to the last bit
    assert len({tuple(tokens) for tokens, _ in found["steps"]}) > 1
