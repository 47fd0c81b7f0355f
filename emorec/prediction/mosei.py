"""Prediction by runs of the main job that were trained on open features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.batches.ragged import RaggedStore, gather
from emorec.corpora import mosei
from emorec.corpora.extraction import identity_of
from emorec.corpora.segments import Report, Segment, build_segments
from emorec.errors import DataError, SpecError
from emorec.features.subtitles import Cue
from emorec.labels import MOSEI, LabelSchema, label_map
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import FACE, MODALITIES, VOICE, WORDS, Recording, Span
from emorec.sequences.alignment import AlignedDataset, add_video
from emorec.sequences.csd import ComputationalSequence, Rows
from emorec.training import backend, mosei_scaling, open_features
from emorec.training.open_features import FrontEnd

if TYPE_CHECKING:
    import keras

_CALLED = {"T": WORDS, "V": FACE, "A": VOICE}
_LACKING = {"T": "no transcript", "V": "no film", "A": "no sound"}
# Spans that are aligned at a time; the features of so many are held.
_SPANS = 256
# Widths of batches where a run takes any number of steps: few, as each is compiled.
_WIDTH = 16
_VIDEO = "recording"


class Content(NamedTuple):
    """What the network is given of a span.

    Attributes
    ----------
    features : (steps, D) float32
        Not scaled yet; zeros where a modality is absent.
    presence : (steps, M) bool
        In the order of the run's modalities.
    """

    features: np.ndarray
    presence: np.ndarray


@dataclass
class MoseiPredictor:
    """Early fusion of words, face and voice; see `emorec.prediction.predictor`.

    A recording's features are made before its first span is yielded, as which face is
    the main one is known at the end only: frames and sound go by, rows of features stay
    (about 10 MB an hour).

    Attributes
    ----------
    name, schema, takes
        As of `Predictor`. Scores are what the network says, also beyond the schema's
        range; of runs on presence or dominance, probabilities of a kind ``multilabel``.
    """

    name: str
    schema: LabelSchema
    takes: tuple[str, ...]
    letters: str
    widths: dict[str, int]
    fronts: dict[str, FrontEnd]
    step: float | None
    settings: dict[str, Any]
    normalisation: dict[str, Any]
    max_steps: int
    model: keras.Model

    @classmethod
    def load(cls, found: FoundRun) -> MoseiPredictor:
        """Load a run and the front ends of its features.

        Raises
        ------
        SpecError
            When its features cannot be made of recordings, or a file that makes them
            is not there or another.
        """
        spec, settings = found.spec, found.record["settings"]
        extraction = spec.data.get("extraction")
        if settings.get("image_feature") != "open" or not extraction:
            features = ", ".join(each.features for each in spec.modalities)
            raise SpecError(
                f"{found.run.record_path}: was trained on {features}, which no open "
                "tool makes of recordings. Train on features that emorec makes itself "
                "of the raw clips:\n"
                "  emorec mosei extract CLIPS --output DIR --labels LABELS.csv --text "
                "glove --vectors GLOVE.txt --voice librosa --face RUN\n"
                "  python main.py --features open --data DIR"
            )
        letters = settings["modalities"]
        fronts = {
            letter: open_features.front_of(own, found.run.folder)
            for letter, own in extraction.items()
            if letter != "steps"
        }
        for letter, modality in zip(letters, spec.modalities, strict=True):
            expected = f"{mosei.OPEN[letter]} {identity_of(extraction[letter])}"
            if modality.features != expected:
                raise SpecError(
                    f"{found.run.record_path}: the record contradicts itself: "
                    f"{modality.features}, and settings of {expected}."
                )
        schema = spec.schema
        if spec.label_type in ("present", "dominant"):
            schema = replace(schema, kind="multilabel", high=1.0, levels=())
        used = {_CALLED[letter] for letter in fronts}
        return cls(
            name=found.name,
            schema=schema,
            takes=tuple(name for name in MODALITIES if name in used),
            letters=letters,
            widths={
                letter: modality.width
                for letter, modality in zip(letters, spec.modalities, strict=True)
            },
            fronts=fronts,
            step=extraction["steps"]["seconds"] if "steps" in extraction else None,
            settings=settings,
            normalisation=spec.normalisation,
            max_steps=spec.max_steps,
            model=backend.load_found(found),
        )

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield for each span what the network is given; see `Predictor`."""
        rows, reasons = self._rows(recording, spans)
        for first in range(0, len(spans), _SPANS):
            yield from self._aligned(rows, reasons, spans[first : first + _SPANS])

    def scores(self, contents: Sequence[Content]) -> np.ndarray:
        """Return scores (n, K) float64; see `Predictor`."""
        result = np.zeros((len(contents), len(self.schema)))
        batch = int(self.settings["batch_size"])
        for first in range(0, len(contents), batch):
            part = contents[first : first + batch]
            store = RaggedStore.build(
                (str(number), *each, np.zeros(len(self.schema)))
                for number, each in enumerate(part)
            )
            mosei_scaling.apply(store, self.normalisation, list(self.widths.values()))
            width = self.max_steps or -(-int(store.lengths.max()) // _WIDTH) * _WIDTH
            # Always as many, so that nothing is compiled anew.
            index = np.minimum(np.arange(batch), len(part) - 1)
            inputs, _ = gather(store, index, width)
            outputs = np.asarray(self.model.predict_on_batch(inputs))
            result[first : first + len(part)] = outputs[: len(part)]
        return result

    def _rows(
        self, recording: Recording, spans: Sequence[Span]
    ) -> tuple[dict[str, Rows], dict[str, str]]:
        """Return letter -> rows of the whole recording, and why some have none."""
        # Who asks about sentences without a transcript tells the words of each.
        said = [each for each in recording.cues or spans if each.text]
        cues = [Cue(each.start, each.end, each.text) for each in said]
        sources = {"T": cues, "V": recording.video, "A": recording.sound}
        rows, reasons = {}, {}
        for letter, front in self.fronts.items():
            if not sources[letter]:
                reasons[letter] = _LACKING[letter]
                continue
            try:
                found = front.rows(sources[letter])
            except DataError as error:
                # As in the extraction: the other modalities are there still.
                reasons[letter] = str(error)
                continue
            if len(found.intervals):
                rows[letter] = found
            else:
                reasons[letter] = "no words" if letter == "T" else "no sound"
        return rows, reasons

    def _aligned(
        self, rows: dict[str, Rows], reasons: dict[str, str], spans: Sequence[Span]
    ) -> Iterator[Given]:
        """Yield what is given of some spans, aligned as the training's segments."""
        everything = {mosei.OPEN[letter]: own for letter, own in rows.items()}
        steps = mosei.steps_of("open", bool(self.settings["align_to_text"]))
        if steps == mosei.OPEN_STEPS:
            ends = [float(own.intervals.max()) for own in rows.values()]
            everything[steps] = open_features.steps(ends, self.step)
        used = {letter: mosei.OPEN[letter] for letter in self.letters}
        names = dict.fromkeys([*used.values(), steps])
        sequences = {name: _sequence(name, everything.get(name)) for name in names}
        # In single precision, as label files have them.
        times = np.array([span[:2] for span in spans], np.float32)
        labels = Rows(times, np.zeros((len(spans), len(MOSEI)), np.float32))
        sequences[mosei.LABELS] = _sequence(mosei.LABELS, labels)
        masked = self.settings["missing"] == "mask"
        partial = [n for n in used.values() if n != steps] if masked else []
        lacking = next(
            (n for n in names if n not in everything and n not in partial), None
        )
        aligned, report, found = AlignedDataset(), Report(), {}
        if lacking is None:
            aligned.sequences = {name: {} for name in sequences}
            add_video(aligned, sequences, _VIDEO, steps, mosei.LABELS, partial)
            segments = build_segments(
                {letter: aligned.sequences[name] for letter, name in used.items()},
                aligned.sequences[steps],
                aligned.sequences[mosei.LABELS],
                label_map(MOSEI, MOSEI),
                {_VIDEO: "test"},
                self.settings["missing"],
                self.settings["normalise"] == "zscore",
                report,
                self.letters,
                self.widths,
                drop_empty=steps == mosei.OPEN_STEPS,
            )
            found = {segment.id: segment for _, segment in segments}
        for number in range(len(spans)):
            yield self._one(
                found.get(f"{_VIDEO}[{number}]"), number, report, aligned, reasons
            )

    def _one(
        self,
        segment: Segment | None,
        number: int,
        report: Report,
        aligned: AlignedDataset,
        reasons: dict[str, str],
    ) -> Given:
        told = [
            f"{row['modality']}: {row['reason']}".removeprefix(": ")
            for row in report.rows
            if row["segment"] == f"{_VIDEO}[{number}]"
            and row["action"] in ("dropped", "filled")
        ]
        why = [f"{_CALLED[letter]}: {reason}" for letter, reason in reasons.items()]
        if segment is None:
            why += [*told, *aligned.dropped.values()]
            if self.settings["missing"] == "drop":
                why.append(
                    "the run was trained without gaps (--missing drop) and takes none; "
                    "one of --missing mask does"
                )
            return Given(None, (), "; ".join(why) or "no step in the span")
        there = segment.presence.any(axis=0)
        present = {
            _CALLED[letter]
            for letter, is_there in zip(self.letters, there, strict=True)
            if is_there
        }
        return Given(
            Content(segment.features, segment.presence),
            tuple(name for name in MODALITIES if name in present),
            "; ".join(why or ([] if there.all() else told)),
        )


def _sequence(name: str, rows: Rows | None) -> ComputationalSequence:
    entries = {} if rows is None else {_VIDEO: rows._asdict()}
    return ComputationalSequence(entries, {"root name": name}, name)
