"""Groups of control guides and the guides one by one: two looks at the same guides."""

import numpy as np
import pandas as pd

from programde.report.control_groups import metrics_by_kind, named_for_record, tables_by_kind
from programde.report.facts import Controls
from programde.report.metrics import calibration_metrics
from programde.report.verdict import verdict
from programde.report.why_believe_it import judgement

PROGRAMS = [f"p{k}" for k in range(20)]


def long_table(partitions=1, groups=12, seed=0):
    """Independent uniform p-values by partition, group and program."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "partition": partition,
                "condition": "",
                "group": np.repeat([f"g{g}" for g in range(groups)], len(PROGRAMS)),
                "program": PROGRAMS * groups,
                "saddlepoint": rng.uniform(size=groups * len(PROGRAMS)),
            }
        )
        for partition in range(partitions)
    ]
    return pd.concat(parts, ignore_index=True)


def numbers(table, **how):
    return metrics_by_kind(tables_by_kind(table), n_boot=100, **how)


def test_the_report_hears_single_guides_where_they_were_tested():
    class Facts:
        def __init__(self, **controls):
            self.controls = Controls("saddlepoint", **controls)

    groups = numbers(long_table(groups=5, seed=2))
    guides = {"saddlepoint": calibration_metrics(
        pd.DataFrame(np.random.default_rng(3).random((60, 20))), n_boot=100)}  # fmt: skip
    assert judgement(Facts(metrics=groups)).word == "too few controls to tell"
    found = judgement(Facts(metrics=groups, guides=guides))
    assert found == verdict(groups["saddlepoint"], guides["saddlepoint"], kind="saddlepoint")
    assert found.word == "calibrated"
    assert "inflation of single guides" in found.sentence


def test_both_looks_have_names_in_the_record():
    groups, guides = {"raw": {"n": 1}, "saddlepoint": {"n": 2}}, {"saddlepoint": {"n": 3}}
    assert named_for_record(groups, "saddlepoint", guides) == {
        "ntc_raw": {"n": 1},
        "ntc": {"n": 2},
        "ntc_guides": {"n": 3},
    }
