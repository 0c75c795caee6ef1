import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from edgellm.errors import UsageError
from edgellm.project import Project, load_project, project_schema, project_template


def test_the_template_is_a_valid_project(tmp_path: Path) -> None:
    file = tmp_path / "edgellm.toml"
    file.write_text(project_template('models/odd "name"', "raspberrypi"))
    assert load_project(file) == Project(source='models/odd "name"', devices=["raspberrypi"])
    jsonschema.validate(tomllib.loads(file.read_text()), project_schema())


def test_every_optional_line_of_the_template_is_valid_too(tmp_path: Path) -> None:
    text = project_template(".", "raspberrypi")
    head, optional = text.split("# The rest is optional.\n")
    file = tmp_path / "edgellm.toml"
    file.write_text(head + optional.replace("# ", "", 1).replace("\n# ", "\n"))
    project = load_project(file)
    assert project.memory == "4GiB"
    assert project.license == "Apache-2.0"
    jsonschema.validate(tomllib.loads(file.read_text()), project_schema())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "source = 1",
        'source = "."\ndevice = "x"',
        'source = "."\ndevices = []',
        'source = "."\nmemory = "lots"',
        "[",
    ],
)
def test_a_bad_project_file_is_a_usage_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "edgellm.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"edgellm\.toml"):
        load_project(file)


def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(project_schema()))["title"] == "edgellm.toml"
