"""The memory a run needs, and what follows when it is not there."""

import pytest

from programde.crt.memory_need import BASE, MemoryNeed, fitting_threads, memory_need
from programde.errors import OptionError
from programde.memory import free_memory


def test_the_formula():
    # N = 50,000, K = 70, p = 9, G = 300, B = 1023: D = 80
    need = memory_need(50_000, 70, 9, 300, 1023)
    assert need.per_thread == 1023 * (4 * 80 + 24 * 70) + 4e6 + 128 * 50_000
    screen, population = 50_000 * (16 * 70 + 8 * 9), 50_000 * (28 * 70 + 24 * 9 + 4 * 80)
    assert need.fixed == BASE + screen + population + 512 * 300 * 70
    assert need.total(2) == need.fixed + 2 * need.per_thread
    assert need.total(2) < 1e9
    own = memory_need(50_000, 70, 9, 300, 1023, own_cells=4000)
    assert own.fixed == need.fixed - population + 4000 * (36 * 70 + 12 * 9 + 4 * 80)
    assert own.per_thread > need.per_thread


def test_threads_are_given_up_before_the_run_is_refused():
    need = MemoryNeed(fixed=1e9, per_thread=0.5e9)
    assert fitting_threads(need, 4, free=3e9) == 4
    assert fitting_threads(need, 4, free=2.6e9) == 3
    assert fitting_threads(need, 4, free=1.6e9) == 1
    with pytest.raises(OptionError, match=r"about 1.5 GB with one thread and 1.4 GB are free"):
        fitting_threads(need, 4, free=1.4e9)


def test_free_memory_is_a_sensible_number():
    free = free_memory()
    assert free is None or 1e6 < free < 1e14
    assert fitting_threads(MemoryNeed(1.0, 1.0), 3) == 3
