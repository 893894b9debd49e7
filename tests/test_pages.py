"""What README and the documents show is right: configurations are valid, commands are understood, Python can be run."""

import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from prosper_ng import plugins
from prosper_ng.campaigns.campaign_config import CampaignConfig
from prosper_ng.campaigns.file_kinds import kind_of_file
from prosper_ng.campaigns.plan import load_plan
from prosper_ng.commands._parsers import parser_of
from prosper_ng.config import ConfigError
from prosper_ng.config.loader import load
from prosper_ng.config.mistakes import SourceText
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from tests.helpers.documents import DOCUMENTS, ROOT, blocks_of, texts
from tests.test_documents import PYTHON, WHOLE

BASES = (
    "data: {kind: bars, n_bars: 8, n_rows: 500}\nmodel: {kind: bsc, n_latents: 8}",
    "data: {kind: bars, n_bars: 8, n_rows: 500}\nmodel: {kind: gsc, n_latents: 8}",
    "data: {kind: bars, n_bars: 8, n_rows: 500}\nmodel: {kind: mixture, n_components: 8}",
    "data: {kind: bars, n_bars: 8, n_rows: 500}\nmodel: {kind: laplace, n_latents: 8}",
    "data: {kind: image, image: photo.jpg}\ntask: restore",
    "data: {kind: npy, path: rows.npy}\nmodel: {kind: bsc, n_latents: 8}",
)
"""A part of a configuration is valid where it is with one of these for what it leaves out."""
PLUG_INS = {"adding-a-model.md": "plain_or.py", "own-source.md": "recorder.py", "plug-ins.md": "my_model.py"}
"""What readers call the file of the first block of Python."""
ELSEWHERE = {
    "docs/adding-a-model.md": "run by tests/models/test_adding_a_model.py",
    "docs/plug-ins.md": "imported as a plug-in by the tests of its commands",
    "docs/howto/trackers.md": "programs of others, which the tests do not install",
    "docs/clusters.md": "recipes of Spack and EasyBuild, which are not installed here",
}
"""Why the Python of some pages is not run by tests/test_documents.py."""


def cases(*languages: str) -> list:
    """A case for each page with blocks in some languages."""
    pages = [page for page in DOCUMENTS if any(blocks_of(page, *languages))]
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


def parts_of(text: str) -> Iterator[str]:
    """A block is one part, or several where it shows a key in several ways, one after the other."""
    part: list[str] = []
    for line in text.splitlines(keepends=True):
        key = re.match(r"[\w.]+:", line)
        if key and any(other.startswith(key[0]) for other in part):
            yield "".join(part)
            part = []
        part.append(line)
    yield "".join(part)


@pytest.fixture
def folder(request, tmp_path):
    """Beside the configurations that are shipped, those of a page, each as NAME.yaml, and its plug-ins."""
    page = request.node.callspec.params["page"]
    place = tmp_path / "campaigns"
    place.mkdir()
    (tmp_path / "runs").symlink_to(ROOT / "configs" / "runs")
    for text in texts(page, "yaml"):
        if name := re.search(r"^name: (\S+)", text, re.MULTILINE):
            (place / f"{name[1]}.yaml").write_text(text, encoding="utf-8")
    own = [place / PLUG_INS[page.name]] if page.name in PLUG_INS else []
    for file in own:
        file.write_text(texts(page, "python")[0], encoding="utf-8")
    with plugins.imported(list(map(str, own))):
        yield place


@pytest.mark.parametrize("page", cases("yaml"))
def test_configurations_and_their_parts_are_valid(page, folder):
    for block in blocks_of(page, "yaml"):
        for text in parts_of(block.text):
            keys = {key.value for key, _ in yaml.compose(text).value}
            if keys & {field.name for field in fields(CampaignConfig)} - {"name", "seed"}:
                whole = text if "name" in keys else f"name: part\n{text}"
                (folder / "part.yaml").write_text(whole, encoding="utf-8")
                load_plan(folder / "part.yaml")
            elif "name" in keys:
                load(SourceText(f"{page}:{block.line}", text), RunConfig)
            else:
                faults = faults_of(text, keys, f"{page}:{block.line}")
                assert "" in faults, faults[0]


def faults_of(text: str, keys: set[str], place: str) -> list[str]:
    """What is wrong with a part of a configuration over each of the bases; nothing where it is valid there."""
    found = []
    for base in BASES:
        others = [line for line in ["name: part", *base.splitlines()] if line.partition(":")[0] not in keys]
        try:
            load(SourceText(place, "\n".join([text, *others])), RunConfig)
            found.append("")
        except ConfigError as error:
            found.append(str(error))
    return found


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of each command of a block of shell, without comments, redirections and operators."""
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in lexer:
            if set(word) <= set("|&;<>"):
                yield words
                words = []
            else:
                words.append(word)
        yield words


def arguments_of(words: list[str]) -> list[str] | None:
    """What follows the name of the program in a command, behind whatever launcher; None where it is of another one."""
    for first in (["prosper-ng"], ["-m", "prosper_ng"]):
        for at in range(len(words)):
            if words[at : at + len(first)] == first:
                return words[at + len(first) :]
    return None


@pytest.mark.parametrize("page", cases("bash"))
def test_commands_are_understood(page, folder):
    for block in blocks_of(page, "bash"):
        subprocess.run(["bash", "-n"], input=block.text.encode(), check=True)
        for words in commands_of(block.text):
            try:
                paths_exist(words)
                if arguments := arguments_of(words):
                    understood(arguments, folder)
            except (AssertionError, UserError, ValueError) as error:
                raise AssertionError(f"{page}:{block.line}: {shlex.join(words)}: {error}") from None


def paths_exist(words: list[str]) -> None:
    """Files of the checkout are there, and scripts have the options that they are given."""
    for word in words:
        if re.match(r"(configs|docs|jobs|scripts|tests)/", word) and "NAME" not in word:
            assert list(ROOT.glob(word)), f"there is no {word}"
    scripts = [ROOT / word for word in words if re.fullmatch(r"scripts/\S+\.py", word)]
    for script in scripts:
        code = script.read_text(encoding="utf-8")
        for option in [word for word in words if word.startswith("--") and 'f"--{' not in code]:
            assert f'"{option}"' in code, f"{script.name} has no option {option}"


def understood(arguments: list[str], folder: Path) -> None:
    """The command takes these arguments, and the configuration of a run that it reads takes what is set."""
    name = next(word for word in arguments if not word.startswith("-"))
    at = arguments.index(name)
    try:
        parsed = parser_of(name).parse_args(arguments[:at] + arguments[at + 1 :])
    except SystemExit:  # of --help; mistakes are UsageError
        return
    for place in (ROOT, folder):
        file = place / getattr(parsed, "file", "")
        if file.is_file() and kind_of_file(file) == "run":
            load(file, RunConfig, getattr(parsed, "overrides", ()))


@pytest.mark.parametrize("page", cases("python"))
def test_python_compiles_and_names_what_there_is(page):
    for block in blocks_of(page, "python"):
        for node in ast.walk(ast.parse(block.text, f"{page}:{block.line}")):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prosper_ng"):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
            for alias in node.names if isinstance(node, ast.Import) else ():
                assert not alias.name.startswith("prosper_ng") or importlib.import_module(alias.name)


def test_the_python_of_every_page_is_run_or_it_is_said_why_not():
    shown = {page.id for page in cases("python")}
    assert shown - {*WHOLE, *PYTHON} == set(ELSEWHERE)
