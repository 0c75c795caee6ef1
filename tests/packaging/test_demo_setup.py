"""Setting up for the demo: stopping it is no crash, and what is missing is said before anything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "demo"
SLOW_PIP = """\
import time
print("Building wheel for llama-cpp-python", flush=True)
time.sleep(60)
"""


def test_ctrl_c_while_it_installs_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text(SLOW_PIP)
    with subprocess.Popen(
        [sys.executable, DEMO / "install.py", ".[pack]"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as install:
        assert install.stdout is not None
        while "building" not in install.stdout.readline():
            assert install.poll() is None
        os.killpg(install.pid, signal.SIGINT)
        _, error = install.communicate(timeout=30)
    assert install.returncode == 130
    assert error.strip().startswith("stopped; run make demo again")
    assert "Traceback" not in error


def test_what_is_missing_is_said_instead_of_what_it_would_take() -> None:
    old = "import runpy, sys; sys.version_info = (3, 9, 1); runpy.run_path(sys.argv[1], run_name='__main__')"
    refused = subprocess.run(
        [sys.executable, "-c", old, DEMO / "prerequisites.py"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: Python 3.11 or newer is needed")
    assert refused.stdout == ""
