"""Keys of `data`, source by source: stage prepare is run with each changed.

One screen lies in every form, with a second version of each part under another name; a key that
names the second must give a screen made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from programde.screen.screen import Screen

from .readings import FILES, Check, Prepared, Reading, floored, judge, name_of
from .source_files import CELLS, GENES, GUIDES, LABELS, LOST, OTHER_TARGETS, PARTS, TARGETS, N
from .wiring import Run

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

READINGS: list[Reading] = []

MUDATA = ("h5mu", "perturbnmf")
KEYED = ("h5ad", "cnmf", "folder", *MUDATA)


def reads(key: str, *words: str, sources: tuple[str, ...], **how: bool) -> Callable[[Check], Check]:
    """Enter a check for `data.KEY` of some sources; `words` without `data.`."""

    def enter(check: Check) -> Check:
        for source in sources:
            given = tuple(f"data.{word}" for word in words)
            READINGS.append(Reading(f"data.{source}.{key}", source, given, check, **how))
        return check

    return enter


def usage_is(values: np.ndarray) -> Check:
    def check(before: Run, after: Run) -> None:
        np.testing.assert_allclose(before.screen.usage, floored(PARTS.usage), atol=1e-7)
        np.testing.assert_allclose(after.screen.usage, floored(values), atol=1e-7)

    return check


OTHER_USAGE = usage_is(PARTS.other_usage)
reads("usage_key", "usage_key=other_usage", sources=("h5ad", *MUDATA))(OTHER_USAGE)
reads("usage_modality", "guide_modality=crispr", "usage_modality=second",
      sources=MUDATA)(OTHER_USAGE)  # fmt: skip
reads("name", "name=second", sources=("cnmf",))(OTHER_USAGE)
reads("run_name", "run_name=run2", sources=("perturbnmf",))(OTHER_USAGE)
reads("out_dir", "out_dir={f}/elsewhere", sources=("perturbnmf",))(OTHER_USAGE)
reads("density_threshold", "density_threshold=0.1",
      sources=("cnmf", "folder", "perturbnmf"))(OTHER_USAGE)  # fmt: skip
reads("folder", "folder={f}/elsewhere", sources=("cnmf",))(OTHER_USAGE)
reads("folder", "folder={f}/other_days", sources=("folder",))(OTHER_USAGE)
reads("usage", "usage={f}/other.tsv", sources=("guide_tables",))(OTHER_USAGE)


@reads("k", "k=3", sources=("cnmf", "folder", "perturbnmf"))
def three_programs(before: Run, after: Run) -> None:
    assert after.screen.n_programs == 3
    three = PARTS.usage[:, :3] / PARTS.usage[:, :3].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after.screen.usage, floored(three), atol=1e-9)


@reads("program_names_key", "program_names_key=new_programs", sources=("h5ad",))
def program_names(before: Run, after: Run) -> None:
    assert after.screen.program_names == ["P0", "P1", "P2", "P3"]


def calls_are(umi: np.ndarray) -> Check:
    def check(before: Run, after: Run) -> None:
        np.testing.assert_array_equal(before.screen.guides.toarray(), PARTS.umi > 0)
        np.testing.assert_array_equal(after.screen.guides.toarray(), umi > 0)

    return check


OTHER_CALLS = calls_are(PARTS.other_umi)
reads("guide_assignment_key", "guide_assignment_key=other_calls", sources=KEYED)(OTHER_CALLS)
reads("screen", "screen={f}/other.h5ad", sources=("cnmf",))(OTHER_CALLS)
reads("path", "path={f}/other.h5ad", sources=("h5ad",))(OTHER_CALLS)
reads("guides_path", "guides_path={f}/guides.h5ad", "guide_assignment_key=none",
      sources=MUDATA)(OTHER_CALLS)  # fmt: skip
reads("guide_layer", "guide_assignment_key=none", "guide_modality=crispr", "guide_layer=other",
      sources=MUDATA)(OTHER_CALLS)  # fmt: skip
reads("value_column", "value_column=umi", sources=("guide_tables",))(OTHER_CALLS)
D2 = ("day=D2", "value_column=value")
reads("day", "day=D3", sources=("folder",))(OTHER_CALLS)
reads("value_column", "day=D2", "value_column=umi", sources=("folder",))(OTHER_CALLS)
reads("cell_column", *D2, "cell_column=barcode", sources=("folder",))(calls_are(PARTS.umi[::-1]))
reads("assignments", "assignments={f}/other_calls.csv", sources=("guide_tables",))(OTHER_CALLS)
reads("guide_column", "guide_column=sgrna", sources=("guide_tables",))(OTHER_CALLS)
reads("cell_column", "cell_column=barcode", sources=("guide_tables",))(calls_are(PARTS.umi[::-1]))


@reads("guide_threshold", "guide_threshold=5", sources=FILES)
def guide_threshold(before: Run, after: Run) -> None:
    np.testing.assert_array_equal(before.screen.guides.toarray(), PARTS.umi > 0)
    np.testing.assert_array_equal(after.screen.guides.toarray(), PARTS.umi >= 5)
    assert after.screen.ambiguous is None


@reads("guide_absent_below", "guide_threshold=5", "guide_absent_below=3", sources=FILES)
def guide_absent_below(before: Run, after: Run) -> None:
    between = (PARTS.umi >= 3) & (PARTS.umi < 5)
    np.testing.assert_array_equal(after.screen.ambiguous.toarray(), between)


@reads("guide_names_key", "guide_names_key=new_names", sources=KEYED)
def guide_names(before: Run, after: Run) -> None:
    assert after.screen.guide_names == [f"{g}_new" for g in GUIDES]


def targets_are(targets: list[str], names: list[str] = GUIDES) -> Check:
    def check(before: Run, after: Run) -> None:
        assert [before.screen.guide_to_target[g] for g in GUIDES] == TARGETS
        assert [after.screen.guide_to_target[g] for g in names] == targets

    return check


OTHER = targets_are(OTHER_TARGETS)
reads("guide2gene_key", "guide2gene_key=other_map", sources=KEYED)(OTHER)
reads("guide_targets_key", "guide2gene_key=none", "guide_targets_key=other_targets",
      sources=KEYED)(OTHER)  # fmt: skip
APART = ("guide_assignment_key=none", "guide_modality=crispr")
reads("guide_modality", *APART[:1], "guide_modality=library", sources=MUDATA)(OTHER)
reads("guide_modality", "screen={f}/screen.h5mu", *APART[:1], "guide_modality=library",
      sources=("cnmf",))(OTHER)  # fmt: skip
reads("target_column", *APART, "target_column=other_target", sources=MUDATA)(OTHER)
reads("target_column", "target_column=other_target", sources=("guide_tables",))(OTHER)
reads("guide_metadata", "guide_metadata={f}/other_guides.csv", sources=("guide_tables",))(OTHER)
reads("guide_id_column", "guide_id_column=number", sources=("guide_tables",))(
    targets_are(TARGETS[::-1])
)
reads("target_column", "day=D2", "value_column=value", "target_column=other_target",
      sources=("folder",))(OTHER)  # fmt: skip


@reads("guide_column", "day=D2", "value_column=value", "target_column=of_sgrna",
       "guide_column=sgrna", sources=("folder",))  # fmt: skip
def guide_column_of_a_day(before: Run, after: Run) -> None:
    """Guides stand in the order of the table; the other column names them the other way round."""
    for name, calls in zip(GUIDES, PARTS.umi.T[::-1], strict=True):
        place = after.screen.guide_names.index(name)
        np.testing.assert_array_equal(after.screen.guides[:, [place]].toarray().ravel(), calls > 0)


ONE_MORE = targets_are([*TARGETS[:3], *["non-targeting"] * 3])
reads("type_column", *APART, "type_column=other_type", sources=MUDATA)(ONE_MORE)
reads("type_column", "type_column=other_type", sources=("guide_tables",))(ONE_MORE)
TWO_MORE = targets_are([*TARGETS[:2], *["non-targeting"] * 4])
reads("targeting_column", *APART, "targeting_column=other_targeting", sources=MUDATA)(TWO_MORE)
reads("targeting_column", "targeting_column=other_targeting", sources=("guide_tables",))(TWO_MORE)


def of_several(before: Run, after: Run) -> None:
    assert after.screen.target_columns() == {
        "T0": [0, 1], "T1": [0, 2, 3], "non-targeting": [4, 5]
    }  # fmt: skip


reads("multi_target_guides", "guide2gene_key=several", "multi_target_guides=both", sources=KEYED,
      refused=True)(of_several)  # fmt: skip
reads("multi_target_guides", "target_column=several", "multi_target_guides=both",
      sources=("guide_tables",), refused=True)(of_several)  # fmt: skip


@reads("ntc_labels", "ntc_labels=[T1]", sources=FILES)
def ntc_labels(before: Run, after: Run) -> None:
    """Of the labels, the stored screen has the burden of guides that are none of theirs."""
    for run, label in ((before, "non-targeting"), (after, "T1")):
        others = [t != label for t in TARGETS]
        burden = run.screen.covariate_table["log1p_non_ntc_guides_per_cell"]
        expected = np.log1p((PARTS.umi[:, others] > 0).sum(axis=1))
        np.testing.assert_allclose(burden, expected)


# --- covariates, batch, condition


def covariates_are(*columns: str) -> Check:
    """The encoded covariates hold these columns, standardised; labels as themselves."""

    def check(before: Run, after: Run) -> None:
        names = {name.split("[")[0].split("_")[0] for name in after.screen.covariate_names}
        assert {c.split("_")[0] for c in columns} == names - {"intercept"}
        for name in set(columns) & {"depth", "counts"}:
            value = PARTS.table[name].to_numpy()
            place = [n.startswith(name) for n in after.screen.covariate_names].index(True)
            z = (value - value.mean()) / value.std()
            assert abs(np.corrcoef(z, after.screen.covariates[:, place])[0, 1]) > 1 - 1e-9

    return check


OTHER_COVARIATES = covariates_are("counts", "batch")
reads("covar_key", "covar_columns=null", "covar_key=other_covar", sources=KEYED)(OTHER_COVARIATES)
TABLE = ("covar_columns=null", "covar_key=covar")
reads("covar_modality", *TABLE, "covar_modality=rna", sources=MUDATA)(OTHER_COVARIATES)
reads("covar_columns", "covar_columns=[counts,batch]", sources=FILES)(
    covariates_are("counts", "batch")
)
reads("covariates", "covariates={f}/other_covariates.csv", "covar_columns=null",
      sources=("guide_tables",))(covariates_are("counts", "batch"))  # fmt: skip


@reads("log1p_columns", "covar_columns=[batch]", "log1p_columns=[counts]", sources=FILES)
def log1p_columns(before: Run, after: Run) -> None:
    names = after.screen.covariate_names
    place = ["counts" in name for name in names].index(True)
    value = np.log1p(PARTS.table["counts"].to_numpy())
    z = (value - value.mean()) / value.std()
    np.testing.assert_allclose(after.screen.covariates[:, place], z, atol=1e-9)


# --- what is read of the results, not of the screen


def screen_is_the_same(before: Run, after: Run) -> None:
    np.testing.assert_array_equal(before.screen.usage, after.screen.usage)
    np.testing.assert_array_equal(before.screen.guides.toarray(), after.screen.guides.toarray())


@reads("effect_of_guides", "effect_of_guides=lowers", sources=FILES)
def effect_of_guides(before: Run, after: Run) -> None:
    """What comes of it in the report is in test_wiring_p_values."""
    screen_is_the_same(before, after)
    assert after.params["data"]["effect_of_guides"] == "lowers"


def positive_control(before: Run, after: Run) -> None:
    screen_is_the_same(before, after)
    assert [row[0] for row in after.params["data"]["positive_controls"]] == ["T0"]


for source in FILES:
    name = "positive_cnmf" if source in ("cnmf", "folder") else "positive"
    reads("positive_controls", "positive_controls={f}/lost.csv",
          f"positive_controls={{f}}/{name}.csv", sources=(source,),
          refused=True)(positive_control)  # fmt: skip


@reads("batch_key", "covar_columns=[depth,lane]", "batch_key=lane", sources=FILES)
def batch_key(before: Run, after: Run) -> None:
    assert before.screen.batch.tolist() == PARTS.table["batch"].tolist()
    assert after.screen.batch.tolist() == PARTS.table["lane"].tolist()


@reads("condition_key", "condition_key=day", sources=FILES)
def condition_key(before: Run, after: Run) -> None:
    assert before.screen.condition is None
    assert after.screen.condition.tolist() == PARTS.table["day"].tolist()


@reads("moi", "moi=high", sources=FILES)
def moi(before: Run, after: Run) -> None:
    assert before.screen.moi is None
    assert after.screen.moi == "high"


def spectra_are(factor: float) -> Check:
    def check(before: Run, after: Run) -> None:
        assert list(after.screen.spectra.columns) == GENES
        assert list(after.screen.spectra.index) == after.screen.program_names
        np.testing.assert_allclose(after.screen.spectra, PARTS.spectra * factor)

    return check


reads("spectra", "spectra={f}/spectra.tsv", sources=("h5ad", *MUDATA, "guide_tables"))(
    spectra_are(3.0)
)
reads("spectra", "spectra={f}/numbered.tsv", sources=("cnmf", "folder"))(spectra_are(3.0))


def labels(before: Run, after: Run) -> None:
    assert before.screen.program_labels == {}
    assert after.screen.program_labels == dict(zip(after.screen.program_names, LABELS, strict=True))


reads("program_names", "program_names={f}/names.csv", sources=("h5ad", *MUDATA, "guide_tables"))(
    labels
)
reads("program_names", "program_names={f}/numbers.csv", sources=("cnmf", "folder"))(labels)
reads("spectra_key", "spectra_key=other_spectra", sources=("h5ad",))(spectra_are(2.0))
reads("spectra_key", "spectra_key=other_loadings", sources=MUDATA)(spectra_are(2.0))


def first_are_gone(before: Run, after: Run) -> None:
    assert before.screen.cell_names == CELLS
    assert after.screen.cell_names == CELLS[LOST:]
    np.testing.assert_array_equal(after.screen.guides.toarray(), PARTS.umi[LOST:] > 0)
    assert after.screen.batch.tolist() == PARTS.table["batch"].tolist()[LOST:]


reads("on_empty", "usage_key=empty_usage", "on_empty=drop", sources=("h5ad", *MUDATA),
      refused=True)(first_are_gone)  # fmt: skip
reads("on_empty", "name=empty", "on_empty=drop", sources=("cnmf",), refused=True)(first_are_gone)
reads("on_empty", "day=D5", "on_empty=drop", sources=("folder",), refused=True)(first_are_gone)
reads("on_missing", "day=D4", "on_missing=drop", sources=("folder",), refused=True)(first_are_gone)
reads("on_empty", "usage={f}/empty.tsv", "on_empty=drop", sources=("guide_tables",),
      refused=True)(first_are_gone)  # fmt: skip
reads("on_missing", *TABLE, "covar_modality=few", "on_missing=drop", sources=MUDATA,
      refused=True)(first_are_gone)  # fmt: skip
reads("on_missing", "name=few", "on_missing=drop", sources=("cnmf",), refused=True)(first_are_gone)
reads("on_missing", "usage={f}/few.tsv", "on_missing=drop", sources=("guide_tables",),
      refused=True)(first_are_gone)  # fmt: skip


@reads("path", "path={f}/copy.h5mu", sources=("h5mu",))
def another_file(before: Run, after: Run) -> None:
    """A file of the same content elsewhere: the same screen; one that is not there is refused."""
    assert after.screen.cell_names == before.screen.cell_names


WIRED = {reading.key for reading in READINGS} | {f"data={source}" for source in FILES}


@pytest.mark.parametrize("reading", READINGS, ids=name_of)
def test_a_key_does_what_it_says(reading: Reading, prepared: Prepared, tmp_path: Path) -> None:
    judge(reading, prepared, tmp_path)


@pytest.mark.parametrize("source", FILES)
def test_every_source_is_the_same_screen(source: str, prepared: Prepared) -> None:
    screen: Screen = prepared(source)[0].screen
    np.testing.assert_allclose(screen.usage, floored(PARTS.usage), atol=1e-7)
    np.testing.assert_array_equal(screen.guides.toarray(), PARTS.umi > 0)
    assert [screen.guide_to_target[g] for g in screen.guide_names] == TARGETS
    assert screen.n_cells == N
    assert screen.batch is not None
    assert screen.batch.tolist() == PARTS.table["batch"].tolist()
