"""What scores of sentiment are worth (CMU-MOSI), and decisions about presence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.predictions import Predictions
from emorec.evaluation import metrics
from emorec.evaluation.intervals import GroupDraws, class_rates
from emorec.evaluation.outputs import Scores
from emorec.evaluation.report import runs
from emorec.evaluation.report.html import Section, number, table
from emorec.evaluation.report.scores import WHO
from emorec.evaluation.roc import interval
from emorec.evaluation.utterances import confusion
from emorec.labels import LabelSchema


def sentiment(run: FoundRun, parts: Mapping[str, Scores], split: str) -> Section:
    """Return the metrics of sentiment beside the constant predictors'."""
    own, scores = Section("scores", "Scores"), parts[split]
    true, predicted = scores.true[:, 0], scores.predicted[:, 0]
    words = {
        "mae": "MAE",
        "corr": "Correlation",
        "acc2_has0": "Accuracy, not negative",
        "f1_has0": "F1, not negative",
        "acc2_non0": "Accuracy, positive",
        "f1_non0": "F1, positive",
        "acc7": "Accuracy of 7",
    }
    found = metrics.sentiment(true, predicted)
    zero = metrics.sentiment(true, 0 * predicted)
    own.headline = (
        f"MAE of {split}: {number(found['mae'])}; always 0: {number(zero['mae'])}."
    )
    rows = [("model", *(found[k] for k in words))]
    rows.append((WHO["zero"], *(zero[k] for k in words)))
    constants = runs.constants_of(run, "sentiment.csv")
    if "train_mean" not in constants:
        own.lack(
            "sentiment.csv has no row of the training mean; the constant 0 is there."
        )
    else:
        values = constants["train_mean"]
        rows.append((WHO["train_mean"], *(float(values[k]) for k in words)))
    note = (
        f"{len(true):,} utterances. not negative: against negative, all utterances; "
        "positive: against negative, without those whose true score is 0; of 7: "
        "rounded to -3 ... 3."
    )
    own.put(
        table(f"Sentiment of {split}", ("Who answers", *words.values()), rows, note)
    )
    signs = binary(true > 0, predicted > 0, scores.ids, split, run.name, "positive")
    draws = GroupDraws.of(signs.groups)
    counts = draws.confusions(signs.true, signs.chosen, 2)
    low, high = interval(class_rates(counts)["recall"].mean(axis=1))
    value = class_rates(confusion(signs))["recall"].mean()
    own.say(
        f"Mean recall of positive and not positive: {number(value)} ({number(low)} to "
        f"{number(high)}, 95 % interval over {len(set(signs.groups.tolist())):,} "
        "videos); a constant has 0.5."
    )
    return own


def binary(
    true: np.ndarray, said: np.ndarray, ids: list[str], split: str, model: str, of: str
) -> Predictions:
    """Return a decision about presence as a choice between two, grouped by video."""
    schema = LabelSchema(f"presence of {of}", ("absent", "present"), "single")
    chosen = np.eye(2)[np.asarray(said, int)]
    groups = runs.videos(ids)
    return Predictions(
        model, "", split, schema, ids, chosen, np.asarray(true, int), groups
    )
