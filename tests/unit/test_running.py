"""Files that say which servers run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgellm.errors import AccessError
from edgellm.paths import user_paths
from edgellm.running import RunningServer, RuntimeFile, private_folder, running_servers, watched

CHILD = """
import sys, time
from pathlib import Path
from edgellm.running import RunningServer, RuntimeFile
import os
server = RunningServer(pid=os.getpid(), version="1", store="/s", started=float(sys.argv[2]), url="http://h:1")
file = RuntimeFile(Path(sys.argv[1]), server)
print("there", flush=True)
sys.stdin.readline()
file.remove()
print("removed", flush=True)
sys.stdin.readline()
"""


def started(folder: Path, moment: float) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(moment)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    return child


def told(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def test_servers_are_listed_the_first_one_in_front(tmp_path: Path) -> None:
    with started(tmp_path, 2.0) as second, started(tmp_path, 1.0) as first:
        assert [server.pid for server in running_servers(tmp_path)] == [first.pid, second.pid]
        second.kill()
        second.wait()
        assert [server.pid for server in running_servers(tmp_path)] == [first.pid]
        assert [path.name for path in tmp_path.iterdir()] == [f"edgellm-{first.pid}.json"]
        first.kill()
    assert running_servers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_takes_no_more_requests_runs_until_its_process_ends(tmp_path: Path) -> None:
    with started(tmp_path, 1.0) as child:
        (server,) = running_servers(tmp_path)
        with watched(tmp_path, server) as is_running:
            told(child)
            assert child.stdout is not None
            assert child.stdout.readline() == "removed\n"
            assert running_servers(tmp_path) == []
            assert is_running()
            told(child)
            child.wait()
            assert not is_running()
        with watched(tmp_path, server) as is_running:
            assert not is_running()


def test_the_file_is_whole_and_its_users_alone(tmp_path: Path) -> None:
    server = RunningServer(pid=os.getpid(), version="1", store="/s", started=1.0, socket="/x")
    file = RuntimeFile(tmp_path / "deep" / "run", server)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert json.loads(file.path.read_text())["socket"] == "/x"
    assert running_servers(file.path.parent) == [server]
    file.remove()
    file.remove()
    assert list(file.path.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 100_000])
def test_what_is_no_runtime_file_is_no_server(tmp_path: Path, content: bytes) -> None:
    import fcntl

    path = tmp_path / "edgellm-1.json"
    path.write_bytes(content)
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert running_servers(tmp_path) == []
        assert path.exists()  # somebody holds it


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    (folder / "edgellm-1.json").symlink_to(target)
    assert running_servers(folder) == []
    assert target.read_text() == "kept"


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(AccessError, match="can be written by others"), private_folder(tmp_path):
        pass


def test_there_is_no_folder(tmp_path: Path) -> None:
    assert running_servers(tmp_path / "nowhere") == []


def test_where_the_folder_is(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert user_paths(home | {"XDG_RUNTIME_DIR": "/run/user/7"}).runtime == Path("/run/user/7/edgellm")
    assert user_paths(home | {"EDGELLM_HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"}).runtime == Path("/h/run")
    session = Path(f"/run/user/{os.getuid()}")
    expected = session / "edgellm" if session.exists() else tmp_path / ".local/state/edgellm/run"
    assert user_paths(home | {"XDG_RUNTIME_DIR": "relative"}).runtime == expected
