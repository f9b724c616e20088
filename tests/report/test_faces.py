"""Programs are shown with what is known of them."""

import pandas as pd

from programde.analysis.tables import with_programs

from .test_report import full_facts, write

KNOWN = pd.DataFrame({"label": ["", "cell cycle"], "top_genes": ["A1 B2 C3 D4", "P Q"]})


def known() -> tuple[pd.DataFrame, list[str]]:
    names = [str(name) for name in full_facts().results["program"].unique()]
    return KNOWN.set_axis(names[:2], axis=0), names


def test_a_label_comes_before_genes_and_both_after_the_name() -> None:
    programs, names = known()
    faces = full_facts(programs=programs).faces()
    assert faces[names[0]] == f"{names[0]} · A1 B2 C3"
    assert faces[names[1]] == f"{names[1]} · cell cycle"
    assert faces[names[2]] == names[2]


def test_the_page_shows_them(tmp_path) -> None:
    programs, names = known()
    page = write(tmp_path / "index.html", programs=programs).read_text(encoding="utf-8")
    assert f"{names[0]} · A1 B2 C3" in page


def test_the_results_table_has_them_at_its_end() -> None:
    programs, names = known()
    results = full_facts().results
    table = with_programs(results, programs.reindex(names).fillna(""))
    assert list(table.columns[-2:]) == ["program_label", "program_top_genes"]
    first = table[table["program"] == names[0]]
    assert set(first["program_top_genes"]) == {"A1 B2 C3 D4"}
    bare = with_programs(results, programs.reindex(names).fillna("").assign(label=""))
    assert "program_label" not in bare
