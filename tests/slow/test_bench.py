"""Benchmarks run, also where there are no peers; what they measure is not judged here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"

pytestmark = pytest.mark.slow


def run(program, *arguments):
    command = [sys.executable, str(BENCH / program), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_peers_are_left_out_with_a_reason_where_they_are_not_there(tmp_path):
    once = ("--turns", 1, "--seconds", 0, "--settled", 1)
    said = run("peers.py", "--evo", tmp_path, "--only", "bars-bsc", *once)
    assert "ProSper: skipped, no checkout of it was named (--prosper FOLDER)" in said
    assert f"EVO: skipped, {tmp_path} holds no package evo" in said
    rate, n_states = re.search(r"^\| bars-bsc \| ([\d,]+) \| ([\d,]+) \|", said, re.MULTILINE).groups()
    assert int(rate.replace(",", "")) > 0
    assert int(n_states) == 1 + 10 + 21 + 35 + 35


def test_a_peer_that_fails_is_named_and_the_others_go_on(tmp_path):
    (tmp_path / "prosper").mkdir()
    once = ("--turns", 1, "--seconds", 0, "--settled", 1)
    said = run("peers.py", "--prosper", tmp_path, "--only", "bars-bsc", *once)
    assert "bars-bsc: prosper failed: ModuleNotFoundError" in said
    assert re.search(r"^\| bars-bsc \| [1-9]", said, re.MULTILINE)


def test_ways_to_choose_states_are_drawn(tmp_path):
    said = run("esteps.py", "--only", "bars-10", "--kinds", "preselection", "--folder", tmp_path)
    assert re.search(r"^\| bars-10 \| preselection \| 102 \|", said, re.MULTILINE)
    assert (tmp_path / "esteps-bars-10.png").read_bytes().startswith(b"\x89PNG")
