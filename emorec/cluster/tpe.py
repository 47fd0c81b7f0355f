"""Points that Optuna's tree-structured Parzen estimator proposes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from emorec.cluster import space
from emorec.cluster.config import SweepConfig
from emorec.cluster.space import Point, Range
from emorec.cluster.trials import DONE, RUNNING, STOPPED, Trial
from emorec.errors import MissingExtraError

# Proposals that were tried before until one is drawn instead.
_ASKED = 20


def require_optuna() -> None:
    """Check that Optuna is there.

    Raises
    ------
    MissingExtraError
        When it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("optuna", "cluster", 'method = "tpe"') from error


def propose(config: SweepConfig, number: int, before: Iterable[Trial]) -> Point | None:
    """Return a point that was not tried, or None when there is none left.

    The answer follows from the configuration, the number and the trials alone: a sweep
    that was interrupted goes on as it would have gone.

    Parameters
    ----------
    config : SweepConfig
        Search, metric, mode and seed.
    number : int
        Of the trial that is to come.
    before : iterable of Trial
        Finished ones teach; stopped ones count as worse than these; of those that run
        nothing good is expected, so that neighbours of theirs wait. Failed ones say
        nothing.
    """
    require_optuna()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = sorted(before, key=lambda trial: trial.number)
    tried = {space.key(trial.options) for trial in trials}
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        # constant_liar is called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(
        direction="minimize" if config.mode == "min" else "maximize", sampler=sampler
    )
    distributions = {n: _distribution(o) for n, o in config.search.items()}
    for trial in trials:
        if told := _told(trial, config, distributions):
            study.add_trial(told)
    for _ in range(_ASKED):
        asked = study.ask(distributions)
        point = {
            name: option.tidy(asked.params[name])
            if isinstance(option, Range)
            else json.loads(asked.params[name])
            for name, option in config.search.items()
        }
        if space.key(point) not in tried:
            return point
    return next(
        (p for p in space.drawn(config.search, seed) if space.key(p) not in tried), None
    )


def _distribution(option: tuple | Range) -> Any:
    from optuna import distributions as kinds

    if not isinstance(option, Range):
        # Of choices that are lists Optuna knows nothing.
        return kinds.CategoricalDistribution([json.dumps(value) for value in option])
    if option.whole:
        return kinds.IntDistribution(
            option.low, option.high, log=option.log, step=option.step or 1
        )
    return kinds.FloatDistribution(
        option.low, option.high, log=option.log, step=option.step
    )


def _told(trial: Trial, config: SweepConfig, distributions: dict) -> Any:
    """Return a trial as Optuna knows it; None where it says nothing."""
    from optuna.trial import TrialState, create_trial

    states = {
        DONE: TrialState.COMPLETE,
        STOPPED: TrialState.PRUNED,
        RUNNING: TrialState.RUNNING,
    }
    if trial.state not in states:
        return None
    return create_trial(
        state=states[trial.state],
        value=trial.metric if trial.state == DONE else None,
        params={
            name: value if isinstance(config.search[name], Range) else json.dumps(value)
            for name, value in trial.options.items()
        },
        distributions=distributions,
        intermediate_values=trial.rungs,
    )
