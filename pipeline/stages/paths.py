"""Where the stages leave what they make; the same names as in dvc.yaml."""

from __future__ import annotations

from pathlib import Path

SCREEN = Path("data/screen")
INPUT_REPORT = Path("data/input_report")
#: Within INPUT_REPORT, a row per program: its label and leading genes among others.
PROGRAMS = "programs.parquet"
TRUTH = Path("data/truth.parquet")
CRT = Path("data/crt")
CONTROL = Path("data/control.json")
NTC_NULL = Path("data/ntc_null")
#: Within NTC_NULL, the same guides tested one by one.
NTC_GUIDES = "guides"
#: Within NTC_NULL, sets of control cells with known effects.
NTC_SPIKES = "spikes"
#: Blocks of tests that are finished, while the stage runs; with its name as the ending.
CHECKPOINT = "data/checkpoint_"
SPIKES = Path("data/spikes")
NTC_P_VALUES = Path("data/ntc_p_values.parquet")
NTC_GUIDE_P_VALUES = Path("data/ntc_guide_p_values.parquet")
CROSSFIT = Path("data/crossfit")

RESULTS = Path("reports/results.parquet")
RESULTS_CSV = Path("reports/results.csv")
OMNIBUS = Path("reports/omnibus.csv")
ACROSS = Path("reports/across_conditions.csv")
#: Within CRT, each guide alone, by least squares.
GUIDE_EFFECTS = "guide_effects.parquet"
GUIDES = Path("reports/guide_concordance.csv")
UNITS = Path("reports/units.csv")
POWER = Path("reports/power.csv")
GENE_SETS = Path("reports/gene_sets.csv")
METRICS = Path("reports/metrics.json")
#: Those of them that people compare; see `headline`.
SUMMARY = Path("reports/summary.json")
#: What pictures are drawn from, for programs that draw their own; within CURVES.
CURVES = Path("reports/curves")
QQ_CURVE = CURVES / "controls_qq.csv"
POWER_CURVE = CURVES / "power.csv"
PLOTS = Path("reports/plots")
#: What each picture of PLOTS shows, as CSV.
FIGURES = Path("reports/figures")
REPORT = Path("reports/index.html")
