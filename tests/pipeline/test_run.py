"""`make run`: whatever stops it is one line, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: A project of two stages, of which the second does as it is told.
STAGES = """
stages:
  first:
    cmd: {python} -c "open('first.txt', 'w').write('1')"
    outs: [first.txt]
  second:
    cmd: {second}
    deps: [first.txt]
    outs: [second.txt]
"""
WAIT = "import time; open('begun', 'w').close(); time.sleep(60)"
#: A stage that tells why it stops, as ours do.
TELL = """
import sys
from pipeline.stages.entry import run
from programde.errors import InputError
def function(params):
    raise InputError("the screen has no cells")
run("second", function, lambda conf: {})
"""
FINE = "open('second.txt', 'w').write('2')"


@pytest.fixture
def project(tmp_path):
    """A folder with a second stage of the given code; returns it."""

    def make(second: str, name: str = "project") -> Path:
        folder = tmp_path / name
        (folder / "conf").mkdir(parents=True)
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text(
            "[core]\n    no_scm = true\n    analytics = false\n"
        )
        (folder / "second.py").write_text(second)
        text = STAGES.format(python=sys.executable, second=f"{sys.executable} second.py")
        (folder / "dvc.yaml").write_text(text)
        return folder

    return make


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.run", *words],
        cwd=folder, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def until(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, err


def test_it_runs_and_says_nothing(project):
    """Where nobody told DVC that there is no git, too."""
    folder = project(FINE)
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    assert ended(started(folder)) == (0, "")
    assert (folder / "second.txt").read_text() == "2"
    assert (folder / "dvc.lock").is_file()


def test_a_stage_that_told_why_is_not_told_again(project):
    status, err = ended(started(project(TELL)))
    assert status == 1
    assert err == "second: the screen has no cells\n"


def test_a_stage_that_was_killed_for_memory_says_so(project):
    folder = project("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    status, err = ended(started(folder))
    assert status == 1
    assert "want of memory" in err
    lines = [line for line in err.splitlines() if line != "Killed"]  # the word of some shells
    assert len(lines) == 1


def test_no_such_stage(project):
    status, err = ended(started(project(FINE), "secnd"))
    assert status == 1
    assert "did you mean 'second'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_and_leaves_nothing(project, number):
    folder = project(WAIT)
    process = started(folder)
    until(folder / "begun")
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    status, err = ended(process)
    assert status == 128 + number
    assert err.splitlines()[-1].endswith("the same command goes on from here")
    assert not any(child.is_running() and child.status() != "zombie" for child in children)
    (folder / "second.py").write_text(FINE)
    assert ended(started(folder))[0] == 0


def test_two_at_once_go_one_after_the_other(project):
    wait = (
        "import os, time\nopen('begun', 'w').close()\n"
        "while not os.path.exists('go'): time.sleep(0.05)\n"
    )
    folder = project(wait + FINE)
    first = started(folder)
    until(folder / "begun")
    second = started(folder)
    assert second.stderr is not None
    assert f"process {first.pid} is running this folder" in second.stderr.readline()
    (folder / "go").touch()
    assert ended(first) == (0, "")
    assert ended(second) == (0, "")


def test_a_lock_of_a_process_that_died_is_taken_over(project):
    folder = project(FINE)
    (folder / ".dvc" / "tmp").mkdir()
    who = {"pid": 2**22 - 3, "cmd": "dvc repro"}
    place = str(folder / "second.txt")
    text = f'{{"write": {{"{place}": {{"pid": {who["pid"]}, "cmd": "dvc"}}}}, "read": {{}}}}'
    (folder / ".dvc" / "tmp" / "rwlock").write_text(text)
    assert ended(started(folder))[0] == 0


@pytest.mark.parametrize("half", ["", "schema: '2.0'\nstages:\n  first:\n    cmd: pyth\n    de"])
def test_a_half_written_lock_file_is_made_again(project, half):
    """As a killed `dvc repro` leaves it; what was computed comes from the cache."""
    folder = project(FINE)
    assert ended(started(folder)) == (0, "")
    whole = (folder / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_text(half)
    (folder / "second.py").touch()
    (folder / ".second-a0_b1c2d.txt").touch()  # as a killed stage leaves it
    assert ended(started(folder)) == (0, "note: a killed run left half of dvc.lock; made again\n")
    assert not list(folder.glob(".second-*"))
    assert (folder / "dvc.lock").read_bytes() == whole


def test_a_lock_that_stands_is_told(project):
    folder = project(FINE)
    (folder / ".dvc" / "tmp").mkdir()
    who = f'{{"{folder / "first.txt"}": {{"pid": {os.getpid()}, "cmd": "dvc"}}}}'
    (folder / ".dvc" / "tmp" / "rwlock").write_text(f'{{"write": {who}, "read": {{}}}}')
    status, err = ended(started(folder))
    assert status == 1
    assert "another DVC works in this folder" in err
    assert err.count("\n") == 1


def test_a_lock_of_another_machine_is_told(project):
    """With DVC's locks for network disks, which outlive who held them."""
    folder = project(FINE)
    with (folder / ".dvc" / "config").open("a") as stream:
        stream.write("    hardlink_lock = true\n")
    (folder / ".dvc" / "tmp").mkdir()
    lock = folder / ".dvc" / "tmp" / "lock"
    lock.write_text(f"{lock}|node7|1234|5678")
    assert ended(started(folder)) == (
        1,
        "run: another DVC works in this folder (node7, process 1234): wait for it; where none runs "
        "any more, delete .dvc/tmp/lock and run again\n",
    )
    lock.unlink()
    assert ended(started(folder)) == (0, "")


def test_another_dvc_is_waited_for(project):
    """One that is alive and really is DVC; then what it did not do is done."""
    wait = (
        "import os, time\nopen('begun', 'w').close()\n"
        "while not os.path.exists('go'): time.sleep(0.05)\n"
    )
    folder = project(wait + FINE)
    other = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder)
    until(folder / "begun")
    process = started(folder)
    assert process.stderr is not None
    assert "runs dvc in this folder; waiting for it to end" in process.stderr.readline()
    (folder / "go").touch()
    assert other.wait(timeout=60) == 0
    assert ended(process) == (0, "")


@pytest.mark.parametrize("half", ["", '{"write": {"/x'])
def test_a_half_written_lock_keeps_nobody_out(project, half):
    folder = project(FINE)
    (folder / ".dvc" / "tmp").mkdir()
    (folder / ".dvc" / "tmp" / "rwlock").write_text(half)
    assert ended(started(folder)) == (0, "note: a killed run left half of rwlock; made again\n")


def test_a_folder_that_is_no_project(tmp_path):
    status, err = ended(started(tmp_path))
    assert status == 1
    assert "holds no dvc.yaml" in err
