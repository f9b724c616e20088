"""The points of a sweep: which settings, each checked before the first one is computed.

The grid is expanded here and not by Hydra's launcher, because there one impossible value ends the
whole sweep; here it becomes one failed point and the others are computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.checking import typed_section
from pipeline.config.explain import cannot_be_read, explain, refuse_words
from pipeline.config.params import FREE
from pipeline.config.resolve import resolve
from pipeline.files import read_json, write_json
from pipeline.sweep.workspace import Plan
from pipeline.upstream import forget_hydra, grid, parse_override
from programde.errors import OptionError, ProgramDEError
from programde.threads import worker_count


@dataclass
class Point:
    """One setting.

    Attributes
    ----------
    name
        What tells it from the other points of its sweep: ``sampler=stratified test=ols``.
    overrides
        What was asked for on top of conf/.
    choices
        The file picked from each folder of conf/.
    params
        The resolved configuration; empty where it is not allowed.
    id
        What identifies the computation.
    error
        Why the setting is not allowed; empty where it is.
    """

    name: str
    overrides: list[str]
    choices: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    error: str = ""

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Point:
        return cls(**read_json(path))


@dataclass
class Request:
    """A command line of the driver.

    Attributes
    ----------
    overrides
        What belongs to the points; a value may be a sweep: ``a=1,2``.
    launching
        What belongs to Hydra: launcher, sweeper and their options.
    multirun
        Whether a sweep was asked for.
    """

    overrides: list[str]
    launching: list[str]
    multirun: bool


def read_request(arguments: Sequence[str]) -> Request:
    """Take a command line apart.

    Raises
    ------
    OptionError
        An option that the driver does not have.
    """
    overrides, launching, multirun = [], [], False
    for argument in arguments:
        if argument in ("-m", "--multirun"):
            multirun = True
        elif argument.startswith("-"):
            raise OptionError(f"{argument} is not an option; valid: -m (a grid), key=value")
        elif argument.lstrip("+~").startswith(("hydra/", "hydra.")):
            launching.append(argument)
        else:
            overrides.append(argument)
    return Request(overrides, launching, multirun)


class Settings:
    """What the driver must know before the first point.

    Attributes
    ----------
    multirun
        Whether there is a grid: asked for by -m or by an experiment.
    sweeper
        The class of Hydra's sweeper.
    tracking
        The section `tracking` of the configuration.
    side_by_side
        How many points Hydra's launcher computes at a time on this machine; -1 for all.
    """

    def __init__(self, request: Request, conf: Path) -> None:
        refuse_words([*request.overrides, *request.launching], conf)
        chosen = [o for o in request.overrides if o.startswith("experiment=") and "," not in o]
        recording = [o for o in request.overrides if o.lstrip("+").startswith("tracking")]
        for text in recording:
            if (override := parse_override(text)) is not None and override.is_sweep_override():
                raise OptionError(f"{text}: all points of a sweep are recorded in one place")
        config = _composed(conf, [*chosen, *recording, *request.launching])
        self.multirun = request.multirun or config.hydra.mode.name == "MULTIRUN"
        self.sweeper = str(config.hydra.sweeper._target_)
        self.axes = dict(config.hydra.sweeper.get("params") or {})
        self.tracking = typed_section("tracking", config.tracking)
        self.experiment = chosen
        self.side_by_side = int(config.hydra.launcher.get("n_jobs") or 1)


def expand(request: Request, settings: Settings, conf: Path) -> list[tuple[list[str], str]]:
    """The overrides and the name of every point of a grid, in Hydra's order.

    Raises
    ------
    OptionError
        An override that cannot be read, or a sweep without -m.
    """
    listed = [f"{key}={value}" for key, value in settings.axes.items()] if settings.multirun else []
    forget_hydra()
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        parsed = [_parsed(text) for text in [*listed, *request.overrides]]
        swept = {o.key_or_group for o in parsed if o.is_sweep_override()}
        if swept and not settings.multirun:
            raise OptionError(
                f"{', '.join(sorted(swept))} has several values: add -m to sweep; a list is "
                "written [a,b]"
            )
        try:
            points = grid(parsed)
        except HydraException as error:
            raise OptionError(" ".join(str(error).split())) from None
    values: dict[str, set[str]] = {}
    for overrides in points:
        for override in overrides:
            values.setdefault(override.split("=")[0], set()).add(override)
    varying = {key for key, seen in values.items() if len(seen) > 1}
    return [(overrides, _name(overrides, varying)) for overrides in points]


def share_cores(points: Sequence[Point], side_by_side: int) -> None:
    """Give points that are computed at the same time a part of this machine's cores each."""
    at_once = min(side_by_side, len(points)) if side_by_side > 0 else len(points)
    if at_once < 2:
        return
    for point in points:
        if point.params and point.params["compute"]["n_jobs"] is None:
            point.params["compute"]["n_jobs"] = max(1, worker_count(-1) // at_once)


def make_point(overrides: list[str], name: str, conf: Path, plan: Plan) -> Point:
    """A checked point; a setting that is not allowed is a point with an error."""
    point = Point(name, overrides)
    try:
        refuse_words(overrides, conf)
        config = _composed(conf, overrides)
        return fill_point(point, config, plan)
    except ProgramDEError as error:
        point.error = str(error)
    except (HydraException, OmegaConfBaseException) as error:
        point.error = explain(error, overrides, conf)
    point.id = f"refused-{_short(' '.join(overrides))}"
    return point


def fill_point(point: Point, config: DictConfig, plan: Plan) -> Point:
    """Give a point what its composed configuration (with Hydra's own part) says."""
    choices = config.hydra.runtime.choices
    point.choices = {
        str(k): str(v) for k, v in choices.items() if "/" not in str(k) and v is not None
    }
    config = config.copy()
    with open_dict(config):
        del config["hydra"]
    point.params = resolve(config)
    point.id = plan.point_id(point.params)
    return point


def setting_id(params: dict[str, Any]) -> str:
    """What identifies a setting, whatever the code."""
    chosen = {key: value for key, value in params.items() if key not in FREE}
    return _short(json.dumps(chosen, sort_keys=True, default=str))


def dataset_id(params: dict[str, Any]) -> str:
    """What identifies the data of a setting."""
    return _short(json.dumps(params["data"], sort_keys=True, default=str))


def sweep_id(points: Sequence[Point]) -> str:
    """What identifies a sweep: its points, allowed or not, in order."""
    return _short("\n".join(point.id or " ".join(point.overrides) for point in points))


def _composed(conf: Path, overrides: Sequence[str]) -> DictConfig:
    forget_hydra()
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


def _parsed(text: str) -> Override:
    override = parse_override(text)
    if override is None:
        raise OptionError(cannot_be_read(text))
    return override


def _name(overrides: Sequence[str], varying: set[str]) -> str:
    told = [override for override in overrides if override.split("=")[0] in varying]
    return " ".join(told or overrides) or "default"


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
