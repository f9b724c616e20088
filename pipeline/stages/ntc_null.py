"""Stage ntc_null: groups of non-targeting guides, tested as if they were targets."""

from __future__ import annotations

from pipeline.files import replacing_folder
from pipeline.stages.entry import Options, stage
from pipeline.stages.options import comparison, group_options, run_options
from pipeline.stages.paths import NTC_NULL, SCREEN
from programde.analysis.targets import run_ntc_groups
from programde.screen.store import load_screen


@stage("ntc_null")
def main(o: Options) -> None:
    screen = load_screen(SCREEN)
    controls = run_ntc_groups(
        screen, run_options(o, o.n_resamples), seed=o.seed, **comparison(o), **group_options(o)
    )
    with replacing_folder(NTC_NULL) as folder:
        controls.save(folder)


if __name__ == "__main__":
    main()
