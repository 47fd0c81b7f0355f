"""The tables of a sweep: a row per trial, and the ranking on validation."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from emorec.cluster.config import SweepConfig
from emorec.cluster.trials import DONE, Trial

TABLE, LEADERBOARD = "sweep.csv", "leaderboard.csv"


def rows(trials: Sequence[Trial], config: SweepConfig) -> pd.DataFrame:
    """Return number, options, state, metric, epochs, seconds, run and reason.

    Of a stopped trial the metric is empty: it is not one of a finished network.
    """
    table = [
        {
            "trial": trial.number,
            **{name: trial.options[name] for name in config.search},
            "state": trial.state,
            config.metric: trial.metric,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            "run": ";".join(trial.runs),
            "reason": " ".join(trial.reason.split()),
        }
        for trial in trials
    ]
    names = ("trial", *config.search, "state", config.metric)
    names += ("epochs", "seconds", "run", "reason")
    frame = pd.DataFrame(table, columns=list(names))
    return frame.astype({config.metric: float})


def ranked(trials: Sequence[Trial], mode: str) -> list[Trial]:
    """Return the finished trials, the best on validation first; of equals the first."""
    sign = 1 if mode == "min" else -1
    done = [trial for trial in trials if trial.state == DONE]
    return sorted(done, key=lambda trial: (sign * trial.metric, trial.number))


def leaderboard(table: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Return the finished rows of a sweep's table, the best on validation first."""
    metric = table.columns[list(table.columns).index("state") + 1]
    done = table[table["state"] == DONE].drop(columns=["state", "reason"])
    done = done.sort_values([metric, "trial"], ascending=[mode == "min", True])
    done.insert(0, "rank", range(1, len(done) + 1))
    return done
