"""What a face network says of a recording's faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation.single_label import softmax
from emorec.features import faces
from emorec.labels import LabelSchema
from emorec.prediction.media import moments_of
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import FACE, Recording, Span
from emorec.progress import Stopwatch
from emorec.training import backend
from emorec.training.clip_faces import LabelSettings, choose, faces_of
from emorec.training.clip_labels import aggregate

if TYPE_CHECKING:
    import keras

    from emorec.batches.images import ImageInput

BATCH = 128


class SeenFaces(NamedTuple):
    """The faces of a span that are judged.

    Attributes
    ----------
    crops : list of (S, S) uint8
        Grey. A face of two spans is one array in both.
    times : (T,) float64
        Seconds of the frames.
    boxes : (T, 4) float64
        x1, y1, x2, y2 in pixels of the upright frame.
    """

    crops: list[np.ndarray]
    times: np.ndarray
    boxes: np.ndarray


class FacePredictor:
    """A run of ``emorec faces``.

    Faces are found, followed, cut out and normalised as `emorec faces label` does it;
    a span's logits are joined over the main face's frames.

    Parameters
    ----------
    name : str
        What tables call it.
    model : keras.Model
        (B, S, S, C) -> logits (B, K).
    schema : LabelSchema
        Names of the K labels.
    image_input : ImageInput
        How a grey face becomes what the network takes.
    settings : LabelSettings, optional
        Which frames are looked at, and how faces are found.
    detect : callable, optional
        Returns the detector; MTCNN by default, made when it is first needed.
    how : {"mean", "max"}
        Joins logits of frames; see `emorec.training.clip_labels.aggregate`.
    watch : Stopwatch, optional
        Adds up decoding, detection, tracking and network.
    """

    takes = (FACE,)

    def __init__(
        self,
        name: str,
        model: keras.Model,
        schema: LabelSchema,
        image_input: ImageInput,
        settings: LabelSettings | None = None,
        detect: Callable[[], faces.Detector] | None = None,
        how: str = "mean",
        watch: Stopwatch | None = None,
    ) -> None:
        self.name, self.model, self.schema = name, model, schema
        self.image_input, self.how = image_input, how
        self.settings = settings or LabelSettings()
        smallest = self.settings.min_face
        self.detect = detect or cache(lambda: faces.mtcnn_detector(smallest))
        self.watch = watch or Stopwatch()

    @classmethod
    def load(cls, found: FoundRun, **options) -> FacePredictor:
        """Load a run; `options` are those of the constructor."""
        model = backend.load_found(found)
        from emorec.batches.images import ImageInput

        of_input = ImageInput.from_dict(found.spec.normalisation)
        return cls(found.name, model, found.spec.schema, of_input, **options)

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield the `SeenFaces` of the main face of each span.

        The main face is the track whose boxes cover most of the span. No more faces
        are held than those of the spans that a frame is in.
        """
        if recording.video is None:
            yield from (Given(None, (), "no video") for _ in spans)
            return
        seen = faces_of(
            recording.video,
            self.detect,
            self.settings,
            self.image_input.size,
            self.watch,
        )
        yield from map(self._main, moments_of(seen, recording, spans))

    def _main(self, moments: list[tuple[float, list]]) -> Given:
        rows = [(time, *face) for time, found in moments for face in found]
        if not rows:
            what = f"no face in {len(moments)} frames" if moments else "no frames"
            return Given(None, (), what)
        times, tracks, boxes, crops = zip(*rows, strict=True)
        arrays = np.array(tracks), np.array(boxes), np.array(times)
        kept = choose(*arrays, self.settings.tracks)
        content = SeenFaces(
            [crop for crop, keep in zip(crops, kept, strict=True) if keep],
            arrays[2][kept],
            arrays[1][kept],
        )
        return Given(content, (FACE,))

    def scores(self, contents: Sequence[SeenFaces]) -> np.ndarray:
        """Return probabilities (n, K) float64; each face is asked once."""
        from emorec.batches.images import predict

        every = {id(crop): crop for content in contents for crop in content.crops}
        place = {key: row for row, key in enumerate(every)}
        crops = np.stack(list(every.values()))
        with self.watch.time("network", len(crops)):
            logits = predict(self.model, crops, self.image_input, BATCH)
        rows = [[place[id(crop)] for crop in content.crops] for content in contents]
        return softmax(np.stack([aggregate(logits[row], self.how) for row in rows]))
