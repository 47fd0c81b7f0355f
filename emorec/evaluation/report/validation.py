"""What a run scores on validation, and on which data: what ranks runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation.report import runs
from emorec.evaluation.utterances import metrics
from emorec.files import digest


@dataclass(frozen=True)
class Validation:
    """What a run scores on validation.

    Attributes
    ----------
    kind : str
        The metric and the split; runs of one kind on the same data can be ranked.
    value : float
        NaN where nothing tells it.
    less : bool
        Whether less is better.
    source : str
        Where it is told.
    """

    kind: str
    value: float
    less: bool
    source: str


@dataclass(frozen=True)
class Compared:
    """A run of a comparison.

    Attributes
    ----------
    label : str
        Its name, with the folder's where another run has the same.
    run : FoundRun
    read : Read
        Its predictions.
    validation : Validation
    data : str
        What the record tells of the identity of the data; empty where nothing.
    """

    label: str
    run: FoundRun
    read: runs.Read
    validation: Validation
    data: str

    @property
    def group(self) -> tuple[str, str]:
        """What runs that are ranked together share."""
        return self.validation.kind, self.data


def identity(run: FoundRun) -> str:
    """Return what tells a run's data from others; empty where the record has nothing.

    Features are not data: of MELD's branches only what says which utterances counts,
    and of the main job not the files' sizes, for words alone need fewer files.
    """
    settings = run.record.get("settings", {})
    data = settings.get("data")
    spec = runs.spec_of(run)
    dataset = settings.get("dataset") or (spec.data.get("dataset", "") if spec else "")
    if run.system.startswith("meld") or run.system == runs.FUSION:
        # What they learn from differs (fewer neutral utterances); dev and test do not.
        return str(dataset)
    if isinstance(data, dict):
        kept = {key: value for key, value in data.items() if key != "bytes"}
        # They decide which segments validation has.
        for key in ("with_custom_split", "missing"):
            if key in settings:
                kept[key] = settings[key]
        return f"{dataset}, {digest(kept)}" if kept else str(dataset)
    return f"{dataset}, {data}" if data else str(dataset)


def clips_of(read: runs.Read) -> set[str]:
    """Return the validation clips that a run predicts; none where it has no file."""
    split = runs.validation_split(list(read.parts))
    return set(read.parts[split].ids) if split else set()


def validation(run: FoundRun, read: runs.Read) -> Validation:
    """Return what a run scores on validation, and by what.

    Of MELD and of fusions the weighted F1 of the predictions of dev; of the speech
    student the mean AUC of speakers it has heard nothing of; of the others the value
    by which the epoch was chosen, from the record. Nothing here reads a test split.
    """
    training = run.record.get("training") or {}
    settings = run.record.get("settings", {})
    if run.system == "mosei":
        spec, loss = run.spec, settings.get("loss_function", "unknown")
        kind = f"loss ({loss}, learnt: {spec.label_type}, labels: {spec.schema.name})"
        return _told(f"validation {kind}", training, "val_loss", True)
    if run.system == "faces":
        kind = f"validation accuracy (label mode {runs.face_mode(run)})"
        return _told(kind, training, "val_acc", False)
    if run.system == "ravdess":
        return _told("validation accuracy", training, "val_acc", False)
    if run.system == "voices":
        kind = "mean AUC of unheardVal (validation; there is no test)"
        aucs = runs.rows_of(run, "auc.csv")
        if aucs is not None:
            own = aucs[
                (aucs["partition"] == "unheardVal") & (aucs["emotion"] == "mean")
            ]
            if len(own):
                return Validation(kind, float(own.iloc[0]["auc"]), False, "auc.csv")
        return Validation(kind, math.nan, False, "")
    if run.system == "mosi":
        return Validation("validation score (none is kept)", math.nan, True, "")
    split = runs.validation_split(list(read.parts))
    kind = f"weighted F1 of {split or 'validation'}"
    if split is None:
        return Validation(kind, math.nan, False, "")
    found = metrics(read.parts[split], draws=0)
    return Validation(kind, found["weighted_f1"], False, f"predictions of {split}")


def _told(kind: str, training: dict, key: str, less: bool) -> Validation:
    value = training.get(key)
    if value is None:
        return Validation(kind, math.nan, less, "")
    return Validation(kind, float(value), less, "record")
