import os
import signal
import subprocess
import sys
import time

import pytest

import prosper_ng
from prosper_ng import commands
from prosper_ng.cli import main
from prosper_ng.commands._parsers import command_names

HEAVY = {"numpy", "numba", "scipy", "h5py", "mpi4py", "yaml", "pydantic", "matplotlib", "skimage", "rich"}


def prosper_ng_process(*arguments, **options):
    command = [sys.executable, "-m", "prosper_ng", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)


@pytest.fixture
def own_command(tmp_path, monkeypatch):
    """A command that was just put into the folder of commands: (module name, body of its `run`) -> None."""

    def add(name, *lines):
        body = "\n".join(f"    {line}" for line in lines)
        (tmp_path / f"{name}.py").write_text(
            f"HELP = 'try something out'\n\ndef configure(parser):\n    parser.add_argument('--count', type=int)\n\n"
            f"def run(arguments):\n{body}\n",
            encoding="utf-8",
        )
        monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])

    yield add
    for name in [name for name in sys.modules if getattr(sys.modules[name], "__file__", "") or ""]:
        if str(tmp_path) in (sys.modules[name].__file__ or ""):
            del sys.modules[name]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], [], *([name, "--help"] for name in command_names()), ["no-such-command"]]
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom prosper_ng.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_every_command_is_listed_with_its_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert "doctor" in command_names()
    for name in command_names():
        assert f"\n  {name} " in listed


def test_the_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"prosper-ng {prosper_ng.__version__}\n"


def test_no_command_shows_the_help_and_is_an_error(capsys):
    assert main([]) == 2
    assert "doctor" in capsys.readouterr().out


@pytest.mark.parametrize(("typed", "meant"), [("docter", "doctor"), ("validat", "validate")])
def test_a_mistyped_command_gets_the_nearest_name(capsys, typed, meant):
    assert main([typed]) == 2
    assert capsys.readouterr().err == f"error: there is no command '{typed}'; did you mean '{meant}'?\n"


def test_a_command_like_no_other_gets_the_list(capsys):
    assert main(["xyzzy"]) == 2
    assert f"there are {', '.join(command_names())}" in capsys.readouterr().err


def test_modules_with_an_underscore_in_front_are_no_commands(own_command, capsys):
    own_command("_hidden", "return 0")
    assert main(["_hidden"]) == 2
    assert "no command '_hidden'" in capsys.readouterr().err


def test_a_new_file_is_a_new_command(own_command, capsys):
    own_command("try_out", "print(arguments.count, arguments.verbose, arguments.quiet)", "return 5")
    assert main(["try-out", "--count", "3"]) == 5
    assert main(["--verbose", "try-out"]) == 5
    assert main(["try-out", "--quiet"]) == 5
    assert capsys.readouterr().out == "3 False False\nNone True False\nNone False True\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "x"], "argument --count: invalid int value: 'x'"),
        (["--cuont", "1"], "unrecognized arguments: --cuont 1"),
        (["--verbose", "--quiet"], "argument --quiet: not allowed with argument --verbose"),
    ],
)
def test_wrong_arguments_are_one_sentence(own_command, capsys, arguments, said):
    own_command("try_out", "return 0")
    assert main(["try-out", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {said}; see prosper-ng try-out --help\n"


def test_errors_of_users_are_sentences_with_their_own_exit_status(own_command, capsys):
    own_command("fail", "from prosper_ng.errors import NumericalError", "raise NumericalError('sigma is -1')")
    assert main(["fail"]) == 3
    assert capsys.readouterr().err == "error: sigma is -1\n"


def test_on_each_host_only_one_process_speaks(own_command, capsys, monkeypatch):
    own_command("fail", "from prosper_ng.errors import UserError", "raise UserError('no')")
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("MPI_LOCALRANKID", "1")
    assert main(["fail"]) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("MPI_LOCALRANKID", "0")
    assert main(["fail"]) == 2
    assert capsys.readouterr().err == "error: no\n"


def test_defects_keep_their_traceback(own_command):
    own_command("fail", "return 1 / 0")
    with pytest.raises(ZeroDivisionError):
        main(["fail"])


def test_an_interrupt_ends_with_a_sentence(tmp_path):
    (tmp_path / "wait.py").write_text(
        "import time\nHELP = 'wait'\ndef configure(parser):\n    pass\n"
        "def run(arguments):\n    print('waiting', flush=True)\n    time.sleep(60)\n    return 0\n",
        encoding="utf-8",
    )
    code = (
        # A process that was started in the background of a script ignores interrupts until it is told otherwise.
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from prosper_ng import cli, commands\ncommands.__path__.append({str(tmp_path)!r})\n"
        "sys.exit(cli.main(['wait']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=240)
    assert (process.returncode, said) == (130, b"interrupted before the end\n")


def test_a_reader_that_goes_away_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "prosper_ng", "schema"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_it_can_be_started_as_a_module():
    assert prosper_ng_process("--version").stdout == f"prosper-ng {prosper_ng.__version__}\n"
