"""A folder of days: which files belong to a day, and what stands in its screen."""

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.io.cnmf import read_cnmf
from programde.io.day_folder import find_day, read_folder
from tests.pipeline.source_files import CELLS, GUIDES, PARTS, TARGETS, write_days

K = {"k": 4, "density_threshold": 0.5}
CALLS = {"guide_threshold": 1}


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "days"
    write_days(folder)
    return folder


@pytest.mark.slow
@pytest.mark.brief
def test_files_belong_to_a_day_by_a_word_of_their_names(days):
    one, two, four = (find_day(days, day, **K) for day in ("D1", "D2", "D4"))
    assert (one.screen.name, one.name, one.guides) == ("cells_D1.h5ad", "run", None)
    assert two.guides.name == "guides_D2.csv"
    assert four.name == "few_D4"
    assert [path.name for path in two.files()] == [
        "cells_D2.h5ad", "run.usages.k_4.dt_0_5.consensus.txt", "guides_D2.csv",
    ]  # fmt: skip


def test_a_day_is_the_screen_that_its_files_make_by_hand(days):
    ours = read_folder(days, day="D1", **K, **CALLS)
    by_hand = read_cnmf(days, **K, **CALLS, name="run", screen=days / "cells_D1.h5ad")
    np.testing.assert_array_equal(ours.usage, by_hand.usage)
    np.testing.assert_array_equal(ours.covariates, by_hand.covariates)
    assert (ours.guides != by_hand.guides).nnz == 0


def test_guides_come_from_the_days_table(days):
    made = read_folder(days, day="D2", **K, value_column="value", **CALLS)
    np.testing.assert_array_equal(made.guides.toarray(), PARTS.umi > 0)
    assert [made.guide_to_target[guide] for guide in GUIDES] == TARGETS
    assert made.cell_names == CELLS
    assert made.batch.tolist() == PARTS.table["batch"].tolist()  # of obsm["covar"]
    day = read_folder(days, day="D2", **K, value_column="value", **CALLS, condition_key="day",
                      covar_columns=["depth"], log1p_columns=["counts"])  # fmt: skip
    assert day.condition.tolist() == PARTS.table["day"].tolist()
    bare = read_folder(days, day="D2", **K, covar_key=None, value_column="value", **CALLS)
    assert bare.covariates.shape[1] == 1


@pytest.mark.slow
@pytest.mark.brief
def test_what_does_not_fit_is_one_line(days, tmp_path):
    for folder, asked, says in (
        (days, {"day": "D9", **K}, "no file of cells .*'D9'"),
        (days, {"day": "cells", **K}, "5 files of cells"),
        (days, {"day": "D1", "k": 7}, "0 usages of k=7"),
        (days / "none", {"day": "D1", **K}, "no such folder"),
    ):
        with pytest.raises(InputError, match=says):
            read_folder(folder, **asked)
    table = pd.read_csv(days / "guides_D2.csv")
    write_days(tmp_path / "days")
    table.loc[0, "target"] = "T9"
    table.to_csv(tmp_path / "days" / "guides_D2.csv", index=False)
    with pytest.raises(InputError, match="guides of several targets"):
        read_folder(tmp_path / "days", day="D2", **K, value_column="value", **CALLS)
