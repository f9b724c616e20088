"""Cores and memory that are granted: by machine, by control groups of both kinds, by a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from programde import limits
from programde.memory import free_memory, memory_there_is
from programde.threads import worker_count


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up /sys/fs/cgroup, and a process whose groups are told by the file `own` beside it."""
    mount = tmp_path / "cgroup"
    mount.mkdir()
    monkeypatch.setattr(limits, "MOUNT", mount)
    monkeypatch.setattr(limits, "OWN", tmp_path / "own")
    (tmp_path / "own").write_text("0::/\n")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


MB = 10**6


def test_a_job_within_a_container(system: Path) -> None:
    """Version 2: the tightest of the group and those above it; files in memory are no use of it."""
    (system / "own").write_text("0::/slurm/job_7\n")
    top = system / "cgroup"
    write(top, memory__max=str(900 * MB), memory__current=str(850 * MB))
    write(top / "slurm", memory__max="max", memory__current=str(600 * MB), cpu__max="max 100000")
    write(
        top / "slurm" / "job_7",
        memory__max=str(500 * MB), memory__current=str(300 * MB),
        memory__stat=f"anon 1\nactive_file {150 * MB}\ninactive_file {50 * MB}",
        cpu__max="50000 100000",
    )  # fmt: skip
    assert list(limits.group_memory()) == [(500 * MB, 100 * MB), (900 * MB, 850 * MB)]
    assert free_memory() == 50 * MB
    assert memory_there_is() == "0.5 GB is the limit of this container or job"
    assert limits.core_count() == 1
    assert worker_count(-1) == 1


def test_groups_of_version_1(system: Path) -> None:
    """Each controller has a place of its own; a container sees its own group as the root."""
    (system / "own").write_text("4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n")
    top = system / "cgroup"
    write(
        top / "memory",
        memory__limit_in_bytes=str(400 * MB),
        memory__usage_in_bytes=str(390 * MB),
        memory__stat=f"total_inactive_file {40 * MB}",
    )
    write(top / "cpu,cpuacct", cpu__cfs_quota_us="100", cpu__cfs_period_us="100")
    assert free_memory() == 50 * MB
    assert limits.core_count() == 1
    write(top / "cpu,cpuacct", cpu__cfs_quota_us="-1")
    write(top / "memory", memory__limit_in_bytes="9223372036854771712")
    assert list(limits.group_memory()) == []
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert limits.core_count() == own


def test_no_groups_at_all(system: Path) -> None:
    (system / "own").unlink()
    assert list(limits.groups("memory")) == []
    assert limits.core_count() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of the shell is Linux's")
def test_the_limit_of_a_shell() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))\n"
        "from programde.memory import free_memory, memory_there_is\n"
        "print(free_memory() < 2e9, memory_there_is())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True 2.0 GB is the limit of this shell (ulimit -v)\n", done.stderr
