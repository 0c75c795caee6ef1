"""API keys at rest."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from edgellm.errors import AccessError, NotFoundError, UsageError
from edgellm.server.security.key_file import KeyFile
from edgellm.server.security.key_ring import KeyRing


def test_a_key_is_kept_as_a_hash_that_only_its_owner_may_read(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "config")
    key = file.add("phone")
    assert key not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [(each.name, len(each.sha256)) for each in file.read()] == [("phone", 64)]
    assert len(key) > 40


def test_two_keys_of_one_name_are_refused_and_a_new_one_has_another_scope(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    file.add("phone")
    (before,) = file.read()
    with pytest.raises(UsageError, match="phone already"):
        file.add("phone")
    file.revoke("phone")
    file.add("phone")
    (after,) = file.read()
    assert before.scope != after.scope


def test_keys_that_are_added_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    threads = [threading.Thread(target=file.add, args=(f"key{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.name for key in file.read()) == [f"key{i}" for i in range(8)]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "na\nme"])
def test_names_that_could_be_mistaken_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        KeyFile(tmp_path).add(name)
    assert not (tmp_path / "api-keys.json").exists()


def test_revoking_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no key 'phone'"):
        KeyFile(tmp_path).revoke("phone")


def test_a_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    file.add("phone")
    file.path.chmod(0o640)
    with pytest.raises(AccessError) as raised:
        file.read()
    assert "chmod 600" in str(raised.value.hint)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 1}', '{"version": 1, "keys": [{"name": 1}]}', '{"version": 2, "keys": []}', "{"]
)
def test_a_torn_file_is_an_error_and_never_an_empty_list(tmp_path: Path, text: str) -> None:
    file = KeyFile(tmp_path)
    file.path.write_text(text)
    file.path.chmod(0o600)
    with pytest.raises(UsageError, match=r"api-keys\.json"):
        file.read()


def test_a_ring_finds_its_keys_and_nothing_like_them(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    keys = {name: file.add(name) for name in ("phone", "robot")}
    ring = KeyRing(file)
    for name, key in keys.items():
        found = ring.find(key)
        assert found is not None
        assert found.name == name
    robot = keys["robot"]
    for wrong in ("", robot[:-1], robot + "x", robot.upper(), json.loads(file.path.read_text())["keys"][0]["sha256"]):
        assert ring.find(wrong) is None


def test_a_ring_follows_its_file_and_takes_no_key_while_that_is_torn(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    first = file.add("first")
    ring = KeyRing(file)
    second = file.add("second")
    assert ring.find(second) is not None
    file.revoke("first")
    assert ring.find(first) is None
    good = file.path.read_bytes()
    file.path.write_text("{")
    assert ring.find(second) is None
    file.path.write_bytes(good)
    assert ring.find(second) is not None
