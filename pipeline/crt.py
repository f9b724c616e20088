"""Stage crt: effects, raw p-values and null summaries of every target and program."""

from __future__ import annotations

import pandas as pd

from pipeline.io import replacing_folder, write_json, write_table
from pipeline.paths import CONTROL, CRT, GUIDES, SCREEN
from pipeline.stage import Options, stage
from pipeline.testing import comparison, run_options
from programde.analysis.testing import run_targets
from programde.controls.concordance import guide_concordance
from programde.crt.plan import choose_control
from programde.crt.statistics import make_statistic
from programde.screen.screen import Screen
from programde.screen.store import load_screen


def guides_alone(screen: Screen, o: Options) -> pd.DataFrame:
    """Whether the guides of each target agree: their least-squares effects, each guide alone."""
    options = run_options(o, 0, statistic=make_statistic("ols"), min_treated=2)
    result = run_targets(screen, options, unit="guide", **{**comparison(o), "by_condition": False})
    effects = pd.DataFrame(result.effect, result.units, result.programs)
    errors = pd.DataFrame(result.effect_se, result.units, result.programs)
    return guide_concordance(effects, errors, screen.guide_to_target)


@stage("crt")
def main(o: Options) -> None:
    screen = load_screen(SCREEN)
    result = run_targets(
        screen, run_options(o, o.n_resamples), unit=o.analysis.unit, **comparison(o)
    )
    with replacing_folder(CRT) as folder:
        result.save(folder)
    write_table(guides_alone(screen, o), GUIDES)
    control = choose_control(screen, o.analysis.control, o.data.ntc_labels)
    write_json(CONTROL, {"kind": control.kind, "reason": control.reason})


if __name__ == "__main__":
    main()
