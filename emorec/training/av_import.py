"""Published audio-visual networks as runs of emorec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.weights import read_weights
from emorec.features.av_clips import FRAMES, SIZE
from emorec.features.av_sound import SOUND_RATE
from emorec.files import digest, fingerprint, whole_file
from emorec.labels import RAVDESS
from emorec.training import backend

if TYPE_CHECKING:
    from emorec.models.face_weights import LoadReport

COEFFICIENTS = 10


def import_network(
    path: Path, folder: RunFolder, fusion: str, num_heads: int = 1, bgr: bool = True
) -> LoadReport:
    """Read the checkpoint of a whole network and write model and record.

    Parameters
    ----------
    path : Path
        See `emorec.artifacts.weights.read_weights`.
    folder : RunFolder
        Where the run goes.
    fusion, num_heads
        See `emorec.models.audiovisual.audiovisual`; the file does not tell the heads.
    bgr : bool
        See `emorec.models.audiovisual_weights.load_checkpoint`.

    Raises
    ------
    DataError, MissingExtraError
        When the file cannot be read.
    SpecError
        When it does not fit, or another run has the name.
    """
    settings = {
        "imported": path.name,
        "content": digest(fingerprint([path])) if path.is_file() else "",
        "fusion": fusion,
        "num_heads": num_heads,
        "bgr": bgr,
    }
    with folder.alone():
        folder.claim(settings, False, "Give this run its own --name.")
        tensors = read_weights(path)
        backend.prepare(0)
        from emorec.models.audiovisual import audiovisual
        from emorec.models.audiovisual_weights import load_checkpoint

        # Every weight comes from the file.
        model = audiovisual(fusion, len(RAVDESS), num_heads, initializer="zeros")
        report = load_checkpoint(model, tensors, bgr=bgr)
        with whole_file(
            folder.folder / f"model_{folder.param_name}.keras"
        ) as temporary:
            model.save(temporary)
        spec = Spec(
            schema=RAVDESS,
            modalities=(
                Modality("audio", f"MFCC at {SOUND_RATE} Hz", COEFFICIENTS),
                Modality("video", f"{FRAMES} faces of {SIZE} x {SIZE}, RGB", 3),
            ),
            max_steps=0,
            label_type="single",
            normalisation={"kind": "audiovisual", "video": 1 / 255},
            data={"dataset": "published weights"},
        )
        folder.write_record(settings, spec, system="ravdess", status="complete")
    return report
