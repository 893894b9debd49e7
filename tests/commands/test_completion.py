"""Completion, asked for as shells ask for it."""

import shutil
import subprocess

import pytest

from prosper_ng.cli import main
from prosper_ng.commands._parsers import all_commands, command_names, parser_of

SHELLS = ["bash", "fish", "tcsh", "zsh"]


@pytest.fixture(scope="module")
def script():
    return {shell: printed(shell) for shell in SHELLS}


def printed(shell):
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lambda text, **_: lines.append(text))
        assert main(["completion", shell]) == 0
    return "\n".join(lines)


def completed(script, folder, *words):
    """What bash offers in the place of the last word, in a folder."""
    asking = (
        f"{script['bash']}\n"
        "function=$(complete -p prosper-ng); function=${function#*-F }; function=${function%% *}\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()\n'
        '"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asking, "bash", "prosper-ng", *words],
        capture_output=True, text=True, check=True, timeout=60, cwd=folder,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["va"], {"validate"}),
        (["re"], {"reconstruct", "report", "restore"}),
        (["infer", "--top"], {"--top-k"}),
        (["--quiet", "infer", "--ad"], {"--adaptive"}),
        (["campaign", "col"], {"collect"}),
        (["campaign", "run", "--co"], {"--cores"}),
        (["completion", "z"], {"zsh"}),
        (["run", "fi"], {"first.yaml"}),
        (["infer", "runs/", "--output", "fi"], {"first.yaml"}),
        (["run", "first.yaml", "--import", "fi"], {"first.yaml"}),
    ],
)
def test_bash_completes(script, tmp_path, words, offered):
    (tmp_path / "first.yaml").touch()
    assert completed(script, tmp_path, *words) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_knows_all_commands(script, shell):
    assert [name for name in command_names() if name not in script[shell]] == []


def test_a_shell_that_is_not_known_is_refused_with_those_that_are(capsys):
    assert main(["completion", "nushell"]) == 2
    said = capsys.readouterr().err
    assert all(shell in said for shell in SHELLS)


def test_the_joined_parser_knows_the_options_of_each_command():
    joined = all_commands()._subparsers._group_actions[0].choices
    assert sorted(joined) == command_names()
    for name, parser in joined.items():
        alone = parser_of(name)
        assert parser._option_string_actions.keys() == alone._option_string_actions.keys(), name
        assert (parser.prog, parser.description) == (alone.prog, alone.description)
