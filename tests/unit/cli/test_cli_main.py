import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from edgellm.cli.main import ALIASES, COMMANDS, cli, run
from edgellm.errors import EdgeLLMError, IntegrityError, NotFoundError

HEAVY = ("numpy", "llama_cpp", "gguf", "httpx", "jinja2", "textual", "tokenizers", "torch", "psutil", "msgspec")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_help_imports_no_heavy_module_and_no_command() -> None:
    loaded = modules_after(
        "from edgellm.cli.main import cli\ntry: cli(['--help'])\nexcept SystemExit: pass\n"
        "assert not [m for m in sys.modules if m.startswith('edgellm.cli.') and m != 'edgellm.cli.main']"
    )
    assert not loaded & {*HEAVY, "edgellm_converters", "edgellm_runtimes"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("devices", "config")])
def test_the_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    script = f"from edgellm.cli.main import cli\ntry: cli([{command!r}, '--help'])\nexcept SystemExit: pass"
    loaded = modules_after(script)
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_table_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.help or "").splitlines()[0] == COMMANDS[name][1]


def test_aliases_reach_their_command() -> None:
    for alias, name in ALIASES.items():
        assert cli.get_command(click.Context(cli), alias) is cli.get_command(click.Context(cli), name)


def test_an_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pakc"]) == 2
    assert "Did you mean 'pack'?" in capsys.readouterr().err
    assert run(["rum"]) == 2
    assert "Did you mean 'rm' or 'run'?" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status"), [(NotFoundError("no", hint="look"), 3), (IntegrityError("bad"), 5)])
def test_errors_become_a_message_a_hint_and_an_exit_code(
    error: EdgeLLMError, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command("version")
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli, "get_command", lambda ctx, name: failing)
    assert run(["version"]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {error.message}\n")
    assert ("hint: look" in printed.err) is (error.hint is not None)


def test_a_full_disk_below_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("version")
    def failing() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "get_command", lambda ctx, name: failing)
    assert run(["version"]) == 1
    assert "No space left on device" in capsys.readouterr().err


def test_version_is_printed() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.output.startswith("edgellm ")
