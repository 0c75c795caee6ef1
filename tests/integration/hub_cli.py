"""The command line with a hub of its own, and what is looked at afterwards."""

from __future__ import annotations

from pathlib import Path

from cli_process import Cli

GGUF, CHECKPOINT = "acme/tiny-llm-GGUF", "acme/tiny-llm"
QUANTS = ("Q4_0", "Q4_K_M", "Q8_0")
CARD = "---\nlicense: apache-2.0\nbase_model: acme/tiny-llm\n---\n# Tiny\n"


class HubCli(Cli):
    """A command line whose hub is ``endpoint``."""

    def __init__(self, home: Path, endpoint: str, **environment: str) -> None:
        super().__init__(home)
        object.__setattr__(self, "endpoint", endpoint)
        object.__setattr__(self, "more", environment)

    @property
    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in super().environment.items() if not name.startswith(("HF_", "HUGGING"))}
        own = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(self.home / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}  # type: ignore[attr-defined]
        return plain | own | self.more  # type: ignore[attr-defined]


def leftovers(cli: Cli) -> list[str]:
    """What lies where a command works and should have cleaned up."""
    folders = [cli.home / "store" / name for name in (".downloads", ".staging")] + [cli.home / "cache"]
    return [str(path) for folder in folders if folder.exists() for path in folder.rglob("*")]


def weights_of(cli: Cli) -> str:
    """The digest of the first bundle's model file."""
    row = cli.json("list")[0]
    return str(next(file["digest"] for file in cli.json("show", row["name"])["files"] if "gguf" in file["path"]))


def without_pack_extra(blocker: Path) -> dict[str, str]:
    """An environment in which the packages of edgellm[pack] are not installed; ``blocker`` is a new folder for it."""
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('huggingface_hub', 'tokenizers', 'sentencepiece'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "import importlib.util\n"
        "plain = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: "
        "None if name in ('huggingface_hub', 'tokenizers', 'sentencepiece') else plain(name, package)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    return {"PYTHONPATH": str(blocker)}
