"""The files that say what a late fusion scores, beside the models it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.predictions import Predictions
from emorec.artifacts.runs import RunFolder, environment
from emorec.artifacts.tables import put_rows, write_table
from emorec.errors import DataError, shorten
from emorec.evaluation import figures
from emorec.evaluation.comparison import Comparison, compare
from emorec.evaluation.fusion_figures import weights_figure
from emorec.evaluation.fusion_weights import STEP, columns, grid_table
from emorec.evaluation.intervals import DRAWS, GroupDraws
from emorec.evaluation.joining import Joined
from emorec.evaluation.late_fusion import Fusion, fit, nested
from emorec.evaluation.utterances import result_rows, summary, write_results
from emorec.files import digest, write_json

COMPARISONS = "comparisons.csv"
# Of more models there are too many weightings for intervals of each.
_SHOWN = 2


@dataclass(frozen=True)
class FusionSettings:
    """How to fuse.

    Attributes
    ----------
    method, criterion, step
        As of `emorec.evaluation.late_fusion.fit`.
    folds : int
        Of the cross-validation inside the selection split (fewer where it has fewer
        groups), or of the nested one.
    seed : int
        Of the folds.
    """

    method: str = "weights"
    criterion: str = "weighted_f1"
    step: float = STEP
    folds: int = 5
    seed: int = 0

    def nested(self, joined: Joined) -> tuple[np.ndarray, list[Fusion]]:
        """Return out-of-fold probabilities (n, K), and the fusion of each fold."""
        scores, fusions, _ = nested(
            self.method, joined, self.folds, self.criterion, self.step, self.seed
        )
        return scores, fusions


def write_fusion(
    scored: Joined,
    selection: Joined | None,
    settings: FusionSettings,
    folder: RunFolder,
    say: Callable[[str], None],
) -> list[Comparison]:
    """Fuse, compare with each model, write everything; return the comparisons.

    Written are ``predictions_{split}_{name}.npz``, its rows of ``results.csv`` and its
    confusion matrix; a row of ``comparisons.csv`` for each model; of a grid
    ``alphas_{name}.csv`` and ``.png``, what each weighting is worth where weights are
    chosen, and how many folds chose it; what models lacked in ``missing_{name}.csv``;
    and ``run_{name}.json`` with the weights.

    Parameters
    ----------
    scored : Joined
        The split to be scored.
    selection : Joined or None
        Where the fusion is chosen, which is scored too, out of fold; None for nested
        cross-validation inside `scored`.
    settings : FusionSettings
        How.
    folder : RunFolder
        Where; its parameter name is the fusion's.
    say : callable
        Receives a summary.

    Raises
    ------
    DataError
        When both splits have an utterance: nothing is chosen on what is scored.
    """
    name, identity = folder.param_name, describe(scored, selection, settings)
    chosen_on = selection if selection is not None else scored
    if selection is not None:
        _check_apart(scored, selection, say)
        groups = GroupDraws.of(selection.groups, draws=0).times.shape[1]
        # A split of few speakers has few folds, that of a single one no honest score.
        settings = replace(settings, folds=min(settings.folds, groups))
    parts, fusions = [], []
    if settings.folds > 1:
        honest, fusions = settings.nested(chosen_on)
        parts.append(chosen_on.predictions(name, honest))
    if selection is not None:
        fusions = [fit(settings.method, selection, settings.criterion, settings.step)]
        parts.append(scored.predictions(name, fusions[0].apply(scored)))
    constant = int(np.bincount(chosen_on.true).argmax())
    write_results(parts, folder.folder, constant, lambda text: None)
    if settings.method == "weights":
        _write_alphas(chosen_on, fusions, settings, folder)
    fused = parts[-1]
    compared = [
        _compared(fused, scored.of_model(number), settings.seed)
        for number in range(len(scored.models))
    ]
    keys = {"dataset": fused.dataset, "split": fused.split}
    rows = [keys | {k: _plain(v) for k, v in asdict(c).items()} for c in compared]
    put_rows(folder.folder / COMPARISONS, rows, ("dataset", "split", "first", "second"))
    reports = [scored.report.assign(split=scored.split)]
    if selection is not None:
        reports.append(selection.report.assign(split=selection.split))
    report = pd.concat(reports)
    lacking = folder.folder / f"missing_{name}.csv"
    lacking.unlink(missing_ok=True)
    if len(report):
        write_table(lacking, report)
    own = result_rows(fused, constant)
    # The run's record comes last: what it tells of is there.
    write_json(
        folder.record_path,
        {
            "run": digest(identity),
            "param_name": name,
            "settings": identity,
            "fusions": [_described(fusion) for fusion in fusions],
            "results": [{k: _plain(v) for k, v in row.items()} for row in own],
            "comparisons": rows,
            "environment": environment(),
        },
    )
    _tell(own, scored, fusions, compared, constant, say)
    return compared


def describe(
    scored: Joined, selection: Joined | None, settings: FusionSettings
) -> dict[str, Any]:
    """Return what tells one fusion from another of the same name."""
    return {
        "models": list(scored.models),
        "dataset": scored.dataset,
        "chosen_on": selection.split if selection is not None else "other folds",
        **asdict(settings),
    }


def _check_apart(scored: Joined, selection: Joined, say: Callable[[str], None]) -> None:
    shared = set(scored.ids) & set(selection.ids)
    if shared:
        raise DataError(
            f"The files to score ({scored.split}) and those to select on "
            f"({selection.split}) share {len(shared):,} utterances, as "
            f"{shorten(sorted(shared), 3)}. Weights must not be chosen on what is "
            "scored: give other files to select on, or ask for --nested 5."
        )
    groups = (set(scored.groups) & set(selection.groups)) - {""}
    if groups:
        say(
            f"note: {selection.split} and {scored.split} share {len(groups)} groups "
            f"(dialogues or speakers), as {shorten(sorted(groups), 3)}."
        )


def _write_alphas(
    joined: Joined,
    fusions: Sequence[Fusion],
    settings: FusionSettings,
    folder: RunFolder,
) -> None:
    """Write what each weighting is worth, and how often it was chosen."""
    draws = DRAWS if len(joined.models) <= _SHOWN else 0
    table = grid_table(joined, settings.step, settings.criterion, draws)
    picked = np.zeros(len(table), int)
    grid = table[columns(joined.models)].to_numpy()
    for fusion in fusions:
        picked[np.abs(grid - fusion.weights).sum(axis=1).argmin()] += 1
    table["chosen"] = picked
    table.insert(0, "split", joined.split)
    path = folder.folder / f"alphas_{folder.param_name}.csv"
    write_table(path, table.round(6))
    where = f"{joined.split} of {joined.dataset}"
    title = f"{folder.param_name}\nchosen on {where}"
    if len(fusions) > 1:
        title = f"{folder.param_name}\n{where}, each fold by the others"
    figure = weights_figure(table, joined.models, title, settings.criterion)
    if figure is not None:
        figures.save(figure, path.with_suffix(".png"))


def _compared(fused: Predictions, one: Predictions, seed: int) -> Comparison:
    """Compare with a model on the utterances that it knows."""
    places = {name: row for row, name in enumerate(fused.ids)}
    return compare(fused.take([places[name] for name in one.ids]), one, seed)


def _described(fusion: Fusion) -> dict[str, Any]:
    """Return a fusion as plain containers."""
    if fusion.weights is not None:
        weights = (round(float(weight), 6) for weight in fusion.weights)
        return {"weights": dict(zip(fusion.models, weights, strict=True))}
    scale, model = fusion.stacker[0], fusion.stacker[-1]
    return {
        "inputs": "log probabilities, model after model",
        "mean": scale.mean_.tolist(),
        "scale": scale.scale_.tolist(),
        "classes": model.classes_.tolist(),
        "coefficients": model.coef_.tolist(),
        "intercepts": model.intercept_.tolist(),
    }


def _tell(
    own: list[dict[str, Any]],
    scored: Joined,
    fusions: Sequence[Fusion],
    compared: Sequence[Comparison],
    constant: int,
    say: Callable[[str], None],
) -> None:
    alone = [scored.of_model(number) for number in range(len(scored.models))]
    rows = [own[0], *(result_rows(one, constant)[0] for one in alone), own[1]]
    say("\n" + summary(pd.DataFrame(rows)))
    if fusions[0].weights is not None:
        each = np.array([fusion.weights for fusion in fusions])
        for model, weights in zip(scored.models, each.T, strict=True):
            said = ", ".join(f"{weight:.3g}" for weight in weights)
            say(f"weight of {model}: {said}")
    for comparison in compared:
        say(comparison.describe())


def _plain(value: Any) -> Any:
    """Round floats; JSON knows no NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
