"""A stage that is a fork of a loaded process is like one that loads for itself."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline import warm

ROOT = Path(__file__).parents[2]
ASKED = (
    "from pipeline import warm; import sys; sys.exit(warm.asked('calibrate', sys.argv[1:]) or 7)"
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks of a loaded process")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The code, in a place where it can be edited."""
    folder = tmp_path_factory.mktemp("code")
    for room in ("pipeline", "programde"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("dvc.yaml", "pyproject.toml"):
        shutil.copy2(ROOT / file, folder)
    shutil.copytree(ROOT / "conf", folder / "conf")
    return folder


@pytest.fixture(scope="module")
def environment(copy):
    """The environment of stages that find the loaded process."""
    ours = {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with warm.warmed(copy, ours) as found:
        yield {**os.environ, **ours, **found}


def ask(environment, folder, *words):
    """Ask the loaded process for a stage; 7 is the status where it does not answer."""
    return subprocess.run(
        [sys.executable, "-c", ASKED, *words],
        env=environment, cwd=folder, text=True, capture_output=True, timeout=120,
    )  # fmt: skip


def the_stage():
    """The fork that is the stage: the last in the line below the loaded process."""
    for _ in range(400):
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.Error):  # some end meanwhile
                if "pipeline.warm" in " ".join(process.cmdline()):
                    below = process.children(recursive=True)
                    if len(below) >= 2:
                        return below[-1]
        time.sleep(0.05)
    raise AssertionError("no stage came")


@pytest.mark.slow
@pytest.mark.brief
def test_it_says_and_ends_as_the_stage_alone_does(environment, copy):
    fork = ask(environment, copy, "--params", "nothing.yaml")
    command = [sys.executable, "-m", "pipeline.stages", "calibrate", "--params", "nothing.yaml"]
    plain = subprocess.run(
        command,
        env={key: value for key, value in environment.items() if key != warm.SOCKET},
        cwd=copy,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert fork.returncode == plain.returncode == 1
    assert fork.stderr == plain.stderr
    assert "nothing.yaml" in fork.stderr
    assert fork.stdout == plain.stdout == ""


@pytest.mark.parametrize("setting", ["OMP_NUM_THREADS", "PYTHONHASHSEED", "NUMBA_NUM_THREADS"])
def test_what_libraries_read_when_they_load_is_not_passed_over(environment, copy, setting):
    other = {**environment, setting: "3"}
    assert ask(other, copy, "--params", "nothing.yaml").returncode == 7


def test_a_stage_killed_ends_its_asker_in_the_same_way(environment, copy, tmp_path):
    os.mkfifo(tmp_path / "params.yaml")  # nobody writes: the stage waits
    words = [sys.executable, "-c", ASKED, "--params", str(tmp_path / "params.yaml")]
    asker = subprocess.Popen(words, env=environment, cwd=copy)
    the_stage().kill()
    assert asker.wait(60) == -signal.SIGKILL


def test_an_asker_killed_leaves_no_stage(environment, copy, tmp_path):
    os.mkfifo(tmp_path / "params.yaml")
    words = [sys.executable, "-c", ASKED, "--params", str(tmp_path / "params.yaml")]
    asker = subprocess.Popen(words, env=environment, cwd=copy)
    stage = the_stage()
    asker.kill()
    asker.wait(60)
    stage.wait(60)


@pytest.mark.slow
@pytest.mark.brief
def test_it_may_start_when_it_is_asked(copy):
    ours = {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with warm.warmed(copy, ours):
        before = len(psutil.Process().children())
    with warm.warmed(copy, ours, when_asked=True) as found:
        assert len(psutil.Process().children()) == before - 1
        ended = ask({**os.environ, **ours, **found}, copy, "--params", "nothing.yaml")
        assert ended.returncode == 1
        assert len(psutil.Process().children()) == before
    assert len(psutil.Process().children()) == before - 1


def test_no_process_there(environment, copy):
    gone = {**environment, warm.SOCKET: "/nonexistent/s"}
    assert ask(gone, copy, "--params", "nothing.yaml").returncode == 7


def test_no_such_stage():
    words = [sys.executable, "-m", "pipeline.stages", "crtt"]
    ended = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "crt, ntc_null" in ended.stderr


@pytest.mark.slow
@pytest.mark.brief
def test_edited_code_is_loaded_anew(environment, copy):  # the last: it spoils the copy
    assert ask(environment, copy, "--params", "nothing.yaml").returncode == 1  # it has loaded
    with (copy / "programde" / "errors.py").open("a") as stream:
        stream.write("\n# edited\n")
    assert ask(environment, copy, "--params", "nothing.yaml").returncode == 7
