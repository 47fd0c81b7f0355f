"""What a face network scores on FER+, per label mode, and the files that say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.artifacts.tables import put_rows, write_table
from emorec.corpora.fer_votes import label
from emorec.corpora.ferplus import FerPlus, seen_before
from emorec.errors import LabelMismatchError
from emorec.evaluation import class_figures, figures
from emorec.evaluation.single_label import (
    calibration_error,
    confusion,
    reliability,
    scores,
    softmax,
)
from emorec.files import whole_file
from emorec.labels import FERPLUS, FERPLUS_VOTES, LabelSchema, check_same

# The modes that accuracies are told for: the largest target is the true class.
MODES = ("majority", "cntk", "clean", "crossentropy")
TABLE = "accuracy.csv"
_KEYS = ("run", "data", "split", "label_mode", "faces", "predictor")


@dataclass(frozen=True)
class FaceScores:
    """Outputs of one network for every face of validation and test.

    Attributes
    ----------
    schema : LabelSchema
        Eight emotions, or ten categories.
    dataset : str
        Name of the corpus.
    ids, logits, votes, seen : dict
        Split -> (n,) text, (n, K) float32, (n, 10) int, and (n,) bool, true where the
        same image stands in an earlier split.
    train_votes : (N, 10) int
        Of the training faces: the constant predictor's choice.
    """

    schema: LabelSchema
    dataset: str
    ids: Mapping[str, np.ndarray]
    logits: Mapping[str, np.ndarray]
    votes: Mapping[str, np.ndarray]
    seen: Mapping[str, np.ndarray]
    train_votes: np.ndarray

    @classmethod
    def of(
        cls,
        corpus: FerPlus,
        logits: Mapping[str, np.ndarray],
        schema: LabelSchema,
        dataset: str,
    ) -> FaceScores:
        """Put the faces of a corpus beside logits for them, split by split.

        Raises
        ------
        LabelMismatchError
            When the network's labels are not those of FER+ in FER+'s order.
        """
        expected = FERPLUS_VOTES if len(schema) == len(FERPLUS_VOTES) else FERPLUS
        check_same(expected, schema, f"A network on {dataset}")
        seen = seen_before(corpus)

        def parts(values: np.ndarray) -> dict[str, np.ndarray]:
            return {split: values[corpus.split == split] for split in logits}

        train_votes = corpus.votes[corpus.split == "train"]
        ids, votes = parts(corpus.names), parts(corpus.votes)
        return cls(schema, dataset, ids, logits, votes, parts(seen), train_votes)

    def labelled(self, split: str, mode: str) -> tuple[np.ndarray, ...]:
        """Return true classes (n,), probabilities (n, 8) and seen (n,) of a mode.

        Of a network with ten outputs the last two are left out; ``full`` keeps them.
        """
        labels = label(self.votes[split], mode)
        probabilities = softmax(self.logits[split][labels.kept])
        if probabilities.shape[1] < len(labels.schema):
            raise LabelMismatchError(
                f"Label mode {mode} has {len(labels.schema)} classes, the network "
                f"{probabilities.shape[1]}."
            )
        probabilities = probabilities[:, : len(labels.schema)]
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        return labels.classes, probabilities, self.seen[split][labels.kept]


def rows(result: FaceScores, modes: Iterable[str] = MODES) -> list[dict[str, Any]]:
    """Return the metrics of validation and test in each label mode.

    ``faces`` is ``all``, or ``unseen`` for those whose image is in no earlier split. A
    row ``constant`` always answers with the training faces' most frequent class.
    """
    table = []
    for split in result.logits:
        for mode in modes:
            true, probabilities, seen = result.labelled(split, mode)
            labels = label(result.train_votes, mode)
            common = np.bincount(labels.classes, minlength=len(labels.schema)).argmax()
            # What it says with certainty cannot be calibrated; its shares can.
            constant = np.zeros_like(probabilities) + labels.targets.mean(axis=0)
            constant[:, common] = constant.max(axis=1) + 1e-6
            constant /= constant.sum(axis=1, keepdims=True)
            for faces, chosen in {"all": seen | True, "unseen": ~seen}.items():
                if not chosen.any():
                    continue
                for name, values in {
                    "model": probabilities,
                    "constant": constant,
                }.items():
                    metrics = scores(true[chosen], values[chosen], labels.schema)
                    table.append(
                        {"split": split, "label_mode": mode, "faces": faces}
                        | {"predictor": name}
                        | metrics
                    )
    return table


def summary(table: list[dict[str, Any]], run: str, dataset: str) -> str:
    """Return a text table of accuracies beside the constant predictor's."""
    frame = pd.DataFrame(table)
    keys = ["split", "label_mode", "faces"]
    models = frame[frame.predictor == "model"].set_index(keys)
    constant = frame[frame.predictor == "constant"].set_index(keys)["accuracy"]
    shown = models[["images", "accuracy", "f1_macro", "ece"]].copy()
    half = (models["accuracy_high"] - models["accuracy_low"]) / 2
    shown.insert(2, "±", half)
    shown["constant"] = constant
    text = shown.reset_index().round(4).to_string(index=False)
    return f"{run} on {dataset} (± is half the 95 % interval):\n{text}"


def write_results(
    result: FaceScores,
    folder: RunFolder,
    spec: Spec,
    mode: str,
    say: Callable[[str], None],
) -> list[Path]:
    """Write predictions, metrics and figures of a run; return the paths.

    Parameters
    ----------
    result : FaceScores
        Its outputs.
    folder : RunFolder
        Where they go.
    spec : Spec
        Goes into the prediction files.
    mode : str
        Label mode of confusion matrix and reliability diagram.
    say : callable
        Receives the summary.
    """
    name, paths = folder.param_name, []
    for split in result.logits:
        path = folder.folder / f"predictions_{split}_{name}.npz"
        write_face_predictions(path, result, split, spec)
        paths.append(path)
    modes = MODES if len(result.schema) == len(FERPLUS) else (*MODES, "full")
    table = rows(result, modes)
    decimals = [
        {"run": name, "data": result.dataset}
        | {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
        for row in table
    ]
    # Ten classes have columns of their own, and so a table.
    for frame_mode in {row["label_mode"] == "full" for row in decimals}:
        path = folder.folder / (f"full_{TABLE}" if frame_mode else TABLE)
        chosen = [r for r in decimals if (r["label_mode"] == "full") == frame_mode]
        put_rows(path, chosen, _KEYS)
        paths.append(path)
    true, probabilities, _ = result.labelled("test", mode)
    schema = FERPLUS_VOTES if mode == "full" else FERPLUS
    counts = confusion(true, probabilities, schema)
    title = f"{name}\ntest of {result.dataset}\n{mode}, {len(true):,} faces"
    path = folder.folder / f"conf_matrix_{name}.csv"
    frame = pd.DataFrame(counts, columns=list(schema.labels))
    frame.insert(0, "true", schema.labels)
    write_table(path, frame)
    figures.save(
        class_figures.confusion_figure(counts, schema.labels, title),
        path.with_suffix(".png"),
    )
    curve = folder.folder / f"reliability_{name}.png"
    figures.save(
        class_figures.reliability_figure(
            reliability(true, probabilities),
            calibration_error(true, probabilities),
            title,
        ),
        curve,
    )
    say("\n" + summary(table, name, result.dataset))
    return [*paths, path, path.with_suffix(".png"), curve]


def write_face_predictions(
    path: Path, result: FaceScores, split: str, spec: Spec
) -> None:
    """Write one split as .npz without pickles.

    Arrays: ``ids`` (n,) text, ``scores`` (n, K) probabilities, ``logits`` (n, K),
    ``labels`` (n, 10) votes, ``seen`` (n,) bool, ``spec`` a JSON text.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=result.ids[split],
            scores=softmax(result.logits[split]).astype(np.float32),
            logits=result.logits[split],
            labels=result.votes[split],
            seen=result.seen[split],
            spec=np.array(json.dumps(spec.to_dict())),
        )
