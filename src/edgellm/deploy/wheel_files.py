"""The files beside the wheels: checksums, pinned requirements with hashes, and what to type on the device."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from edgellm.errors import IntegrityError
from edgellm.files import os_errors, write_atomic

__all__ = ["INSTRUCTIONS", "REQUIREMENTS", "SUMS", "write_wheel_files"]

SUMS = "SHA256SUMS"
REQUIREMENTS = "requirements.txt"
INSTRUCTIONS = "INSTALL.txt"


def write_wheel_files(folder: Path, facts: Iterable[tuple[str, str]], python: str) -> None:
    """Write the three files for the wheels in ``folder``.

    ``facts`` are lines for the reader: (name, value). ``python`` is the version that the wheels are for: ``3.11``.
    Raises IntegrityError for a wheel whose name says no version, or two wheels of one distribution.
    """
    with os_errors(f"read {folder}"):
        digests = {path.name: _sha256(path) for path in sorted(folder.glob("*.whl"))}
    write_atomic(folder / REQUIREMENTS, _requirements(digests).encode())
    write_atomic(folder / INSTRUCTIONS, _instructions(facts, python).encode())
    for name in (INSTRUCTIONS, REQUIREMENTS):
        digests[name] = _sha256(folder / name)
    sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    write_atomic(folder / SUMS, sums.encode())


def _requirements(digests: dict[str, str]) -> str:
    pins: dict[str, str] = {}
    for name, digest in digests.items():
        found = re.fullmatch(r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl", name)
        if found is None:
            raise IntegrityError(f"{name} is not the name of a wheel")
        distribution = re.sub(r"[-_.]+", "-", found[1]).lower()
        if distribution in pins:
            raise IntegrityError(f"two wheels of {distribution}", hint="start with an empty folder")
        pins[distribution] = f"{distribution}=={found[2]} --hash=sha256:{digest}\n"
    return "".join(pins[name] for name in sorted(pins))


def _instructions(facts: Iterable[tuple[str, str]], python: str) -> str:
    rows = list(facts)
    width = max((len(name) for name, _ in rows), default=0)
    about = "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)
    commands = textwrap.dedent(f"""\
        On the device, in this folder; no network is needed:

          sha256sum --check --quiet {SUMS}
          python{python} -m venv ~/edgellm-env
          ~/edgellm-env/bin/pip install --no-index --find-links . --require-hashes -r {REQUIREMENTS}
          ~/edgellm-env/bin/edgellm version

        It needs Python {python} with its venv module, and the libraries libgomp and libstdc++
        (Debian and Ubuntu: sudo apt install python{python}-venv libgomp1 libstdc++6).
        An upgrade is the same install command in a newer wheelhouse; a rollback, in an older one.
        """)
    return f"Wheels of edgellm\n\n{about}\n\n{commands}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
