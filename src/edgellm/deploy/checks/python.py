"""Is the interpreter one that edgellm and its wheels are made for?"""

from __future__ import annotations

from collections.abc import Iterator

from edgellm.deploy.checks.finding import Finding, fine, problem, warning
from edgellm.deploy.checks.machine import Machine

__all__ = ["check_python"]

_OLDEST = (3, 11)
_NEW_VENV = "~/edgellm-env"


def check_python(machine: Machine) -> Iterator[Finding]:
    """Version, word size, virtual environment."""
    python = machine.python
    name = f"Python {'.'.join(map(str, python.version))}, {python.bits} bit"
    if python.version[:2] < _OLDEST:
        yield problem("python", f"{name}: edgellm needs 3.11 or newer", _make_venv("uv venv --python 3.12"))
        return
    if python.bits != 64:
        yield problem(
            "python",
            f"{name}: a model is mapped into memory as a whole, for which 32-bit addresses are too short",
            "install the 64-bit version of the operating system",
        )
        return
    if python.implementation != "cpython":
        yield warning(
            "python", f"{name}: {python.implementation} is not CPython", _make_venv("uv venv --python cpython@3.12")
        )
        return
    if not python.in_venv and (python.stdlib / "EXTERNALLY-MANAGED").exists():
        yield warning(
            "python",
            f"{name}, the system's own: its packages belong to the operating system, and an upgrade may break edgellm",
            _make_venv("python3 -m venv"),
        )
        return
    yield fine("python", name + (" in a virtual environment" if python.in_venv else ""))


def _make_venv(maker: str) -> str:
    install = "uv pip install --python" if maker.startswith("uv") else ""
    python = f"{_NEW_VENV}/bin/python"
    installer = f"{install} {python}" if install else f"{python} -m pip install"
    return f"{maker} {_NEW_VENV} && {installer} edgellm"
