import errno
from pathlib import Path

import pytest

from edgellm.errors import AccessError, EdgeLLMError, NoSpaceError, NotFoundError
from edgellm.files import os_errors, require_free_space, write_atomic


def test_a_failed_write_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "index.json"
    write_atomic(target, b"old")
    with pytest.raises(TypeError):
        write_atomic(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EACCES, AccessError),
        (errno.ENOENT, NotFoundError),
        (errno.EIO, EdgeLLMError),
    ],
)
def test_operating_system_errors_become_ours(code: int, kind: type[EdgeLLMError]) -> None:
    with pytest.raises(EdgeLLMError) as caught, os_errors("write the thing"):
        raise OSError(code, "reason", "/some/file")
    assert type(caught.value) is kind
    assert "write the thing" in caught.value.message


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NoSpaceError, match="the bundle needs"):
        require_free_space(tmp_path / "not" / "there" / "yet", 2**60, "the bundle")
    require_free_space(tmp_path, 1, "the bundle")
