"""From a run to what can be asked about recordings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from emorec.artifacts.found_runs import FoundRun
from emorec.errors import SpecError
from emorec.files import digest, fingerprint
from emorec.prediction.predictor import Predictor
from emorec.training.clip_faces import LabelSettings

# System -> module and class, which are imported only where a run asks for them.
_PREDICTORS = {
    "faces": ("faces", "FacePredictor"),
    "voices": ("voices", "VoicePredictor"),
    "ravdess": ("ravdess", "RavdessPredictor"),
    "mosei": ("mosei", "MoseiPredictor"),
    "meld_text": ("meld_text", "MeldTextPredictor"),
    "meld_audio": ("meld_audio", "MeldAudioPredictor"),
    "meld_face": ("meld_face", "MeldFacePredictor"),
}


def load_predictors(
    runs: Sequence[FoundRun],
    faces: LabelSettings | None = None,
    aggregate: str = "mean",
) -> list[Predictor]:
    """Load every run with its front end.

    Parameters
    ----------
    runs : sequence of FoundRun
        Of `emorec.artifacts.found_runs.find_runs`.
    faces : LabelSettings, optional
        How networks of faces look at a video.
    aggregate : {"mean", "max"}
        How they join frames.

    Returns
    -------
    list of Predictor
        In the order of `runs`, with names of their own.

    Raises
    ------
    SpecError
        When a run takes what no raw recording gives; the message says what to train
        instead.
    """
    names = [run.name for run in runs]
    found = []
    for run in runs:
        predictor = _load(run, faces, aggregate)
        if names.count(run.name) > 1:
            predictor.name = f"{run.run.folder.name}_{run.name}"
        found.append(predictor)
    return found


def identity(runs: Sequence[FoundRun], **options: Any) -> dict[str, Any]:
    """Return what decides the scores: the files of the models, and `options`."""
    files = [
        [
            path
            for path in sorted(run.run.folder.glob(f"*_{run.name}*"))
            if _is_model(path)
        ]
        for run in runs
    ]
    return {"files_of_models": [digest(fingerprint(each)) for each in files], **options}


def _is_model(path) -> bool:
    return path.name.startswith(("model_", "run_")) and path.is_file()


def _load(run: FoundRun, faces: LabelSettings | None, aggregate: str) -> Predictor:
    if run.system not in _PREDICTORS:
        raise SpecError(
            f"{run.run.record_path}: a network of CMU-MOSI's ready-made vectors, which "
            "no program makes of a recording. Train one that takes recordings: emorec "
            "mosei extract, emorec faces train, emorec voices train, emorec ravdess "
            "train or emorec meld text."
        )
    module, name = _PREDICTORS[run.system]
    predictor = getattr(import_module(f"emorec.prediction.{module}"), name)
    if run.system == "faces":
        return predictor.load(run, settings=faces, how=aggregate)
    return predictor.load(run)
