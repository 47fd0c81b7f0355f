"""The file that describes a sweep: a command, what is fixed, what is searched."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emorec.cluster import space
from emorec.cluster.space import Space
from emorec.errors import DataError, SpecError, shorten

METHODS = ("grid", "random", "tpe")
SCHEDULERS = ("none", "asha")
_SHIPPED = Path(__file__).parent / "sweeps"
_TABLES = ("fixed", "search")
# Key -> what it must be.
_KEYS: dict[str, type] = {
    "command": list,
    "metric": str,
    "mode": str,
    "method": str,
    "trials": int,
    "seed": int,
    "scheduler": str,
    "grace": int,
    "reduction": int,
    "max_failures": int,
}


@dataclass(frozen=True)
class SweepConfig:
    """A sweep.

    Attributes
    ----------
    command : tuple of str
        A training command of emorec with its positional arguments.
    metric : str
        ``val_*``: a column of the history, at the epoch that is kept; ``dev_*``: a
        value that the run's record tells of its training.
    mode : {"min", "max"}
        Which metric is the better one.
    search : mapping
        Option -> choices or range.
    fixed : dict
        Options that all trials have in common.
    method : {"grid", "random", "tpe"}
        Which points are tried: all, drawn ones, or those that a tree-structured
        Parzen estimator proposes (Bergstra et al., 2011, "Algorithms for
        Hyper-Parameter Optimization", section 4).
    trials : int
        How many; of a grid, all.
    seed : int
        Of the search; that of the trainings is an option of the command.
    scheduler : {"none", "asha"}
        Whether trials that are behind others end early; see
        `emorec.cluster.halving`.
    grace, reduction : int
        Of asha: the first epoch at which trials are compared, and the factor from one
        such epoch to the next; one of so many goes on.
    max_failures : int
        More failed trials end the sweep.
    """

    command: tuple[str, ...]
    metric: str
    mode: str
    search: Space
    fixed: dict[str, Any] = field(default_factory=dict)
    method: str = "grid"
    trials: int = 0
    seed: int = 0
    scheduler: str = "none"
    grace: int = 1
    reduction: int = 3
    max_failures: int = 10

    def identity(self) -> dict[str, Any]:
        """Return what decides the results; how many trials there are does not."""
        return {
            "command": list(self.command),
            "fixed": self.fixed,
            "search": space.plain(self.search),
            "metric": self.metric,
            "mode": self.mode,
            "method": self.method,
            "seed": self.seed,
            "scheduler": self.scheduler,
            **(
                {"grace": self.grace, "reduction": self.reduction}
                if self.scheduler == "asha"
                else {}
            ),
        }


def shipped() -> list[str]:
    """Return the names of the sweeps that come with emorec."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def find_config(name: str) -> Path:
    """Return the file of a sweep: a path, or the name of one that emorec brings.

    Raises
    ------
    DataError
        When there is none.
    """
    path = Path(name)
    if not path.is_file() and name in shipped():
        path = _SHIPPED / f"{name}.toml"
    if not path.is_file():
        raise DataError(
            f"{name}: no such file; expected a TOML file that describes a sweep, or "
            f"the name of one that emorec brings: {', '.join(shipped())}."
        )
    return path


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """Read the file of a sweep.

    Parameters
    ----------
    path : Path
        A TOML file.
    changes : mapping, optional
        Options that are fixed instead of what the file says of them.

    Raises
    ------
    DataError
        When it is no TOML.
    SpecError
        When a key is unknown, missing, or cannot have its value.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected TOML ({error}).") from error
    try:
        return parse(content, changes or {})
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error


def parse(content: Mapping[str, Any], changes: Mapping[str, Any]) -> SweepConfig:
    """Return the sweep that the content of a file describes; see `read_config`."""
    known = (*_KEYS, *_TABLES)
    if unknown := sorted(set(content) - set(known)):
        raise SpecError(f"unknown key {', '.join(unknown)}; known: {', '.join(known)}.")
    if lacking := [
        k for k in ("command", "metric", "mode", "search") if k not in content
    ]:
        raise SpecError(f"{', '.join(lacking)} is missing.")
    for name, kind in _KEYS.items():
        # In Python true is a whole number, too.
        if name in content and type(content[name]) is not kind:
            raise SpecError(
                f"{name} = {content[name]!r}: expected "
                f"{ {list: 'a list', str: 'a text', int: 'a whole number'}[kind] }."
            )
    for name in _TABLES:
        if not isinstance(content.get(name, {}), dict):
            raise SpecError(f"{name}: expected a table, [{name}].")
    fixed = {_underscored(k): v for k, v in content.get("fixed", {}).items()}
    search = {
        _underscored(k): space.read_option(k, v) for k, v in content["search"].items()
    }
    if twice := sorted(set(fixed) & set(search)):
        raise SpecError(f"{', '.join(twice)}: stands in [fixed] and in [search].")
    for name, value in changes.items():
        search.pop(name, None)
        fixed[name] = value
    if not search:
        raise SpecError("[search]: expected an option with several values.")
    values = {k: v for k, v in content.items() if k in _KEYS}
    values["command"] = tuple(map(str, values["command"]))
    config = SweepConfig(**values, fixed=fixed, search=search)
    return _checked(config, "trials" in content)


def _underscored(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _checked(config: SweepConfig, with_trials: bool) -> SweepConfig:
    for name, allowed in {
        "mode": ("min", "max"),
        "method": METHODS,
        "scheduler": SCHEDULERS,
    }.items():
        if (value := getattr(config, name)) not in allowed:
            raise SpecError(f"{name} = {value!r}: expected {' or '.join(allowed)}.")
    for name, least in {
        "seed": 0,
        "grace": 1,
        "reduction": 2,
        "max_failures": 0,
    }.items():
        if getattr(config, name) < least:
            raise SpecError(f"{name} = {getattr(config, name)}: at least {least}.")
    check_metric(config.metric)
    if config.scheduler == "asha" and not config.metric.startswith("val_"):
        raise SpecError(
            f"metric = {config.metric!r}: scheduler asha compares trials after epochs, "
            "so it needs a column of the history, val_..."
        )
    points = space.count(config.search)
    if config.method == "grid":
        if with_trials:
            raise SpecError("trials is of random and tpe; a grid has all its points.")
        return replace(config, trials=len(space.grid(config.search)))
    if not with_trials or config.trials < 1:
        raise SpecError(f"trials: method {config.method} needs how many, 1 or more.")
    if points is not None and config.trials > points:
        raise SpecError(
            f"trials = {config.trials}: there are only {points} points; take method "
            "grid, or fewer trials."
        )
    return config


def check_metric(metric: str) -> None:
    """Refuse what is no score on validation.

    Raises
    ------
    SpecError
        With the reason.
    """
    if metric.startswith(("val_", "dev_")) and "test" not in metric:
        return
    reason = "is no score on validation"
    if "test" in metric:
        reason = (
            "reads test, which chooses nothing: a best score of many on test is one "
            "that new recordings would not reach"
        )
    elif metric in ("loss", "acc", "f1"):
        reason = "is of the clips that are learnt from, where the longest wins"
    examples = ["val_loss", "val_acc", "dev_f1"]
    raise SpecError(
        f"metric = {metric!r}: it {reason}. Expected a column val_* of history_*.csv "
        f"or a value dev_* of the record's training, as {shorten(examples)}."
    )
