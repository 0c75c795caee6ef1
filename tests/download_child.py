"""Processes that download from a hub, to be killed or raced by tests.

``download_child.py URL REPO FOLDER`` reads lines: ``start`` begins a process that downloads everything of REPO into
FOLDER and prints its id, ``wait ID`` prints how that ended. One parent that has everything imported makes many cheap.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgellm.sources.download import download_files
from edgellm.sources.hub import HubClient, HubSettings, parse_hub_reference


class Nursery:
    """The test's side of it; a context manager."""

    def __init__(self, url: str, repo_id: str, folder: Path) -> None:
        command = [sys.executable, __file__, url, repo_id, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready"

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self) -> int:
        """Begin a download; returns its process id."""
        self._ask("start")
        return int(self._answer())

    def wait(self, process_id: int) -> int:
        """The exit status of a download, negative for a signal."""
        self._ask(f"wait {process_id}")
        return int(self._answer())

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def download(url: str, repo_id: str, folder: Path) -> None:
    with HubClient(HubSettings(url)) as client:
        download_files(client, client.repository(parse_hub_reference(repo_id)).files, folder)


def main() -> None:
    import httpx  # before the fork: the children share it

    assert httpx.__name__ == "httpx"
    url, repo_id, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    print("ready", flush=True)
    for line in sys.stdin:
        verb, _, number = line.strip().partition(" ")
        if verb == "wait":
            status = os.waitpid(int(number), 0)[1]
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            download(url, repo_id, folder)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
