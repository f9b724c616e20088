"""Every key of conf/ has a wire: a test that runs the stages with it changed.

Each wire says which outputs change, byte for byte, all others being what they were, and holds what
comes out against what the key says: a formula, a count in the screen, or the library by hand. They
stand in test_wiring_*.py beside this file.
"""

from __future__ import annotations

import pytest

from pipeline.config.schema import KINDS
from programde.errors import OptionError

from . import test_wiring_analysis as analysis
from . import test_wiring_compute as compute
from . import test_wiring_controls as controls
from . import test_wiring_data as data
from . import test_wiring_memory as memory
from . import test_wiring_p_values as p_values
from . import test_wiring_screen as screen
from .wiring import keys_of_conf

#: Keys that have one value; another is refused.
ONE_VALUE = {"test.utest.rank_method"}
#: Files of conf/ that the bases are made of, or whose values are those of another file.
PICKED = {"test=ols", "sampler=bernoulli", "calibrate=saddlepoint", "usage=quantile"}


def test_every_key_of_conf_has_a_wire() -> None:
    wires = [*analysis.WIRES, *controls.WIRES, *p_values.WIRES]
    wired = (
        {wire.key for wire in wires}
        | compute.WIRED
        | data.WIRED
        | memory.WIRED
        | screen.WIRED
        | ONE_VALUE
        | PICKED
    )
    known = keys_of_conf()
    assert sorted(known - wired) == []
    assert sorted(wired - known) == []


@pytest.mark.parametrize("key", sorted(ONE_VALUE))
def test_a_key_of_one_value_takes_no_other(key: str) -> None:
    section, kind, name = key.split(".")
    with pytest.raises(OptionError, match=name):
        KINDS[section][kind].keys[name].check("another", name)
