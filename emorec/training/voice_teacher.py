"""The teacher of the synthetic talkers: a face network trained on drawn faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from emorec.artifacts.logits import LOGITS
from emorec.artifacts.runs import RunFolder
from emorec.corpora import fer_miniature
from emorec.corpora.clips import find_clips
from emorec.corpora.ferplus import read_ferplus
from emorec.errors import DataError
from emorec.features.faces import Detector
from emorec.features.video import EVERY, RATE
from emorec.training import faces
from emorec.training.clip_faces import LabelSettings
from emorec.training.face_config import from_preset
from emorec.training.face_data import FaceData
from emorec.training.face_teachers import load_teacher
from emorec.training.labelling import Labelled, label_clips

Say = Callable[[str], None]
NAME = "teacher"
# Frames of VoxCeleb's face tracks: one of six.
SETTINGS = LabelSettings(rate=RATE / EVERY, every=1, faces="given", tracks="all")
# Drawn faces are learnt in fewer epochs than people's.
_TRAINING = {"num_epochs": 12, "batch_size": 32, "augment": "flip"}


def label_miniature(folder: Path, say: Say) -> None:
    """Judge the face tracks of the synthetic talkers, if that is not done.

    The network is trained on the miniature of FER+ alone: nothing of the talkers, and
    no label of them, is read before it judges them.

    Parameters
    ----------
    folder : Path
        Of `emorec.corpora.voice_miniature.write_voxceleb`; ``logits`` and
        ``teacher`` are made in it.
    say : callable
        Receives lines for the user.
    """
    output = folder / "logits"
    if (output / LOGITS).is_file():
        return
    drawings = folder / "teacher" / "faces"
    fer_miniature.write_ferplus(drawings)
    data = FaceData(read_ferplus(drawings), fer_miniature.DATASET)
    run = RunFolder(folder / "teacher", NAME)
    say("Training the teacher on drawn faces.")
    faces.run(from_preset("compact", _TRAINING), data, run, lambda line: None)
    found = label_tracks(folder / "faces", run, output)
    say(
        f"The teacher judged {len(found.scores):,} face tracks; "
        f"{len(found.failures)} have no face."
    )


def label_tracks(tracks: Path, run: RunFolder, output: Path) -> Labelled:
    """Judge face tracks that are cropped already with a trained face network."""
    teacher = load_teacher(run.param_name, run.folder, lambda line: None)
    return label_clips(find_clips([tracks]), teacher, _none, output, SETTINGS)


def _none() -> Detector:
    raise DataError("face tracks are cropped already; nothing looks for faces.")
