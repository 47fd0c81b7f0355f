"""What a face run of MELD says of the landmarks of a recording's main face."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.evaluation.single_label import softmax
from emorec.features import faces
from emorec.features.landmarks import (
    Landmarker,
    SpeakerSettings,
    dlib_landmarker,
    main_landmarks,
    shown_faces,
)
from emorec.features.video import read_frames
from emorec.prediction.media import moments_of
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import FACE, Recording, Span
from emorec.training import backend
from emorec.training.meld_face import INPUTS, LANDMARKS, shapes

if TYPE_CHECKING:
    import keras

# dlib's own name of its file of 68 points; it is the user's to get.
POINTS_FILE = "shape_predictor_68_face_landmarks.dat"
_BATCH = 16


class MeldFacePredictor:
    """A run of ``emorec meld face``.

    Faces are found, followed and marked as ``emorec meld landmarks`` does it with the
    settings of the run's landmarks; of a span the main face is the one whose boxes
    cover most. Nobody is told apart by references: that needs the person's.

    Parameters
    ----------
    found : FoundRun
    model : keras.Model
        Shapes (B, T, 136) and mask -> logits (B, K).
    landmark : callable
        Returns the landmarker.
    detect : callable, optional
        Returns the detector; MTCNN by default, made when it is first needed.
    """

    takes = (FACE,)

    def __init__(
        self,
        found: FoundRun,
        model: keras.Model,
        landmark: Callable[[], Landmarker],
        detect: Callable[[], faces.Detector] | None = None,
    ) -> None:
        self.name, self.schema, self.model = found.name, found.spec.schema, model
        told = found.spec.data.get(LANDMARKS)
        names = {one.name for one in fields(SpeakerSettings)}
        own = {name: value for name, value in (told or {}).items() if name in names}
        self.settings = SpeakerSettings(**own)
        smallest = self.settings.min_face
        self.landmark = cache(landmark)
        self.detect = cache(detect or (lambda: faces.mtcnn_detector(smallest)))
        self.size = bool(found.record["settings"].get("size", True))
        self.facts: dict[str, Any] = {
            "landmarks": told or "not told by the run; with the default settings"
        }

    @classmethod
    def load(
        cls,
        found: FoundRun,
        points_file: str | Path | None = None,
        landmark: Callable[[], Landmarker] | None = None,
        **options,
    ) -> MeldFacePredictor:
        """Load a run.

        Parameters
        ----------
        found : FoundRun
        points_file : path, optional
            dlib's model of 68 points; by default `POINTS_FILE` beside the run.
        landmark : callable, optional
            Returns another landmarker; then there is no such file.
        **options
            Of the constructor.

        Raises
        ------
        MissingExtraError
            When dlib is not installed.
        SpecError
            When its model of 68 points is not there.
        """
        if landmark is None:
            if find_spec("dlib") is None:
                raise MissingExtraError(
                    "dlib", "landmarks", f"The landmarks of {found.name}"
                )
            path = Path(points_file or found.run.folder / POINTS_FILE)
            if not path.is_file():
                raise SpecError(
                    f"{path}: no such file; expected dlib's model of 68 points, which "
                    "you have to get yourself. Put it there."
                )

            def landmark() -> Landmarker:
                return dlib_landmarker(path)

        backend.choose_backend()
        model = backend.load_keras_model(found.model_path)
        return cls(found, model, landmark, **options)

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield the shapes (T, 136) of each span's main face.

        The recording is looked at once, with no more held than the points of the spans
        that a frame is in.
        """
        if recording.video is None:
            yield from (Given(None, (), "no video") for _ in spans)
            return
        seen = self._seen(recording.video)
        for moments in moments_of(seen, recording, spans):
            inside = [found for _, found in moments]
            try:
                points = main_landmarks(face for found in inside for face in found)
                yield Given(shapes(points, self.size), (FACE,))
            except DataError as error:
                what = f"no face in {len(inside)} frames" if inside else "no frames"
                told = str(error) if any(inside) else what
                yield Given(None, (), told)

    def _seen(self, path: Path) -> Iterator[tuple[float, list]]:
        settings = self.settings
        # A folder's images are 0.24 s apart, as for all predictors.
        grid = () if path.is_dir() else (settings.rate, settings.every)
        frames = read_frames(path, *grid)

        def detect(images: list[np.ndarray]) -> list[np.ndarray]:
            return self.detect()(images)

        def landmark(image: np.ndarray, box: np.ndarray) -> np.ndarray:
            return self.landmark()(image, box)

        for time, _, found in shown_faces(frames, detect, landmark, settings):
            yield time, found

    def scores(self, contents: Sequence[np.ndarray]) -> np.ndarray:
        """Return probabilities (n, K) float64."""
        from emorec.batches.order import BatchOrder
        from emorec.batches.pipeline import Pipeline
        from emorec.batches.ragged import RaggedStore

        nothing = np.zeros(len(self.schema), np.float32)
        store = RaggedStore.build(
            (str(number), content, np.ones((len(content), 1), bool), nothing)
            for number, content in enumerate(contents)
        )
        order = BatchOrder(store.lengths, _BATCH, int(store.lengths.max()))
        return softmax(Pipeline(store, order, INPUTS).predict(self.model))
