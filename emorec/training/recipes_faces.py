"""Recipes of faces: their crops, and what a face network says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emorec.artifacts.locations import is_address
from emorec.artifacts.logits import ARRAYS
from emorec.artifacts.stores import (
    PLAN,
    PLAN_COLUMNS,
    check_kind,
    open_store,
    read_table,
)
from emorec.corpora.clips import find_clips
from emorec.errors import SpecError
from emorec.features import faces
from emorec.features.faces import Detector
from emorec.training import backend
from emorec.training.clip_faces import ClipFaces, LabelSettings, find_faces, wanted_of
from emorec.training.clip_labels import ClipLabels, judge_faces, label_clip
from emorec.training.face_teachers import describe_teacher, load_teacher
from emorec.training.labelling import Teacher, check_width
from emorec.training.recipes import Arrays, Reasons, Source, absolute, named

_SIZES = 8, 2048


@dataclass(frozen=True)
class FacesRecipe:
    """Crops of faces: ``times``, ``boxes``, ``tracks``, ``crops``, ``frames``.

    See `emorec.training.clip_faces.ClipFaces`; with tracks "all" a teacher can judge
    them later as if it saw the clips.

    Attributes
    ----------
    sampling : LabelSettings
        Frames, detection and choice of faces.
    size : int
        Side of the crops in pixels.
    """

    kind: ClassVar[str] = "faces"
    reader: ClassVar[None] = None
    judge: ClassVar[None] = None

    sampling: LabelSettings = field(default_factory=LabelSettings)
    size: int = faces.SIZE

    def __post_init__(self) -> None:
        if not _SIZES[0] <= self.size <= _SIZES[1]:
            raise SpecError(
                f"--size {self.size}: expected {_SIZES[0]} to {_SIZES[1]} pixels."
            )
        faces.check_min_face(self.sampling.min_face)

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays; see `emorec.training.recipes.Recipe`."""
        return {
            "kind": self.kind,
            **self.sampling.to_dict(),
            "size": self.size,
            "arrays": list(ClipFaces._fields),
        }

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find videos and folders of frames."""
        return _clips(paths)

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Return the function of a clip; its crops are in memory together."""
        detect = _detector(self.sampling)

        def crops(source: Source) -> tuple[Arrays, Reasons]:
            path = source.paths["clip"]
            found = find_faces(path, detect, self.sampling, self.size)
            return wanted_of(found, self.sampling.tracks)._asdict(), {}

        return crops


@dataclass(frozen=True)
class TeacherRecipe:
    """A face network's scores: the arrays of ``emorec faces label``, and ``frames``.

    Attributes
    ----------
    model : str
        A run, its .keras file, or NETWORK=WEIGHTS.
    runs : str
        Folder of the runs.
    sampling : LabelSettings
        Frames, detection and choice of faces.
    store : str
        A store of kind faces whose crops are judged; empty: clips. Made by
        `from_faces`.
    """

    kind: ClassVar[str] = "teacher"

    model: str
    runs: str = "models/faces"
    sampling: LabelSettings = field(default_factory=LabelSettings)
    store: str = ""

    def __post_init__(self) -> None:
        faces.check_min_face(self.sampling.min_face)
        object.__setattr__(self, "model", absolute(self.model))
        object.__setattr__(self, "runs", str(Path(self.runs).absolute()))

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays; of crops of a store it is the same."""
        schema, size, name = describe_teacher(self.model, Path(self.runs))
        if self.store and (stored := open_store(self.store).settings["size"]) != size:
            raise SpecError(
                f"{self.store}: its crops have {stored} pixels, but {self.model} takes "
                f"{size}. Extract them with --size {size}."
            )
        return {
            "kind": self.kind,
            **self.sampling.to_dict(),
            "network": name,
            "size": size,
            "schema": schema.to_dict(),
            "arrays": [*ARRAYS, "frames"],
        }

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find videos and folders of frames; of a store, its finished clips."""
        if not self.store:
            return _clips(paths)
        if paths:
            raise SpecError(
                f"--from_faces {self.store}: judges all of its clips; name no others."
            )
        with open_store(self.store) as store:
            # What failed there fails here, with its reason.
            there = {*store.ids, *store.failures["id"]}
            plan = read_table(store.where, PLAN, PLAN_COLUMNS)
        return [
            Source(name, {}, (int(size), int(time)))
            for _, name, size, time in plan.itertuples(index=False, name=None)
            if name in there
        ]

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Return the function of a clip, whose memory does not grow with its length."""
        if self.store:
            read, judge = self.reader(), self.judge()
            return lambda source: (judge(read(source)), {})
        teacher, detect = self._load(), _detector(self.sampling)

        def label(source: Source) -> tuple[Arrays, Reasons]:
            found = label_clip(
                *(source.paths["clip"], teacher.network, detect),
                *(self.sampling, teacher.size),
            )
            return _arrays(found, teacher), {}

        return label

    def reader(self) -> Callable[[Source], Arrays]:
        """Return the function from a clip to its faces, all of them."""
        if self.store:
            store = open_store(self.store)
            return lambda source: store.read(source.id, ClipFaces._fields)
        _, size, _ = describe_teacher(self.model, Path(self.runs))
        detect, sampling = _detector(self.sampling), self.sampling

        def read(source: Source) -> Arrays:
            return find_faces(source.paths["clip"], detect, sampling, size)._asdict()

        return read

    def judge(self) -> Callable[[Arrays], Arrays]:
        """Return the function from faces to scores."""
        teacher, wanted = self._load(), self.sampling.tracks

        def judge(found: Arrays) -> Arrays:
            faces = ClipFaces(**found)
            return _arrays(judge_faces(faces, teacher.network, wanted), teacher)

        return judge

    def _load(self) -> Teacher:
        return load_teacher(self.model, Path(self.runs), lambda line: None)


def from_faces(
    faces: str,
    model: str,
    runs: str = "models/faces",
    sampling: LabelSettings | None = None,
) -> TeacherRecipe:
    """Return the recipe that judges the crops of a store of kind faces.

    Sampling and detection are the store's. Which faces are kept may be chosen of a
    store with all, whose scores then are those of the clips bit for bit; of others, to
    the rounding of the network's sums in other batches.

    Parameters
    ----------
    faces : str
        Folder or address of the store.
    model, runs
        See `TeacherRecipe`.
    sampling : LabelSettings, optional
        What is not the default must be the store's.

    Raises
    ------
    SpecError
        When it is not, or the store is of another kind.
    DataError
        When there is no store.
    """
    store = open_store(faces)
    check_kind(store, "faces")
    names = [each.name for each in fields(LabelSettings)]
    own = LabelSettings(**{name: store.settings[name] for name in names})
    default, given = LabelSettings(), asdict(sampling or LabelSettings())
    if own.tracks == "all":
        own = replace(own, tracks=given["tracks"])
    for name, value in given.items():
        if value not in (getattr(default, name), getattr(own, name)):
            raise SpecError(
                f"--from_faces {faces}: its crops were made with --{name} "
                f"{getattr(own, name)}, not {value}. Leave the option out, or extract "
                "the crops anew."
            )
    place = faces if is_address(faces) else str(Path(faces).absolute())
    return TeacherRecipe(model, runs, own, place)


def _clips(paths: Sequence[str | Path]) -> list[Source]:
    return [
        Source(clip.id, {"clip": clip.path.absolute()})
        for clip in find_clips(named(paths))
    ]


def _detector(sampling: LabelSettings) -> Callable[[], Detector]:
    """Return what makes the detector when it is first asked for."""
    return cache(partial(_mtcnn, sampling.min_face))


def _mtcnn(min_face: int) -> Detector:
    backend.choose_backend()
    return faces.mtcnn_detector(min_face)


def _arrays(found: ClipLabels, teacher: Teacher) -> Arrays:
    check_width(found, teacher.schema)
    arrays = {name: getattr(found, name) for name in ARRAYS}
    return arrays | {"frames": np.array([found.frames], np.int64)}
