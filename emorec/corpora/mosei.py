"""CMU-MOSEI: its computational sequences, label orders and the labels table.

Zadeh et al. (2018), "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and
Interpretable Dynamic Fusion Graph".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emorec.errors import DataError, shorten
from emorec.files import fingerprint
from emorec.labels import (
    MOSEI,
    MOSEI_ALL,
    LabelMap,
    LabelSchema,
    canonical,
    label_map,
)
from emorec.sequences.csd import (
    ComputationalSequence,
    Rows,
    open_sequence,
    write_sequence,
)

if TYPE_CHECKING:
    import pandas as pd

# The order of the columns of a fused step: text, image, audio.
MODALITIES = {"T": "text", "V": "image", "A": "audio"}
TEXT = "glove_vectors"
LABELS = "All Labels"
IMAGE = {"facet": "FACET 4.2", "openface": "OpenFace_2"}
AUDIO = "COVAREP"
# What emorec itself makes of raw clips, and windows for clips without words.
OPEN = {"T": "open_words", "V": "open_face", "A": "open_voice"}
OPEN_STEPS = "open_steps"
FEATURES = (*IMAGE, "open")
FILES = {
    TEXT: "CMU_MOSEI_TimestampedWordVectors.csd",
    IMAGE["facet"]: "CMU_MOSEI_VisualFacet42.csd",
    IMAGE["openface"]: "CMU_MOSEI_VisualOpenFace2.csd",
    AUDIO: "CMU_MOSEI_COVAREP.csd",
    LABELS: "CMU_MOSEI_Labels.csd",
    **{name: f"{name}.csd" for name in (*OPEN.values(), OPEN_STEPS)},
}
# Names that earlier releases of the SDK gave to the same sequences.
OLD_NAMES = {"OpenFace2.0": IMAGE["openface"], "Emotion Labels": LABELS}
# Sequences of the SDK that emorec does not use.
OTHER_NAMES = {"words", "phones", "OpenSMILE", "glove_vectors_with_sp"}

# FACET's own emotion and sentiment estimates, close to the labels to be predicted.
_FACET_ESTIMATES = {
    *("anger", "contempt", "disgust", "happy", "fear", "sad", "surprise"),
    *("confusion", "frustration", "neutral", "baseline", "positive", "negative"),
}


@dataclass
class MoseiFiles:
    """The open sequences of a dataset folder.

    Attributes
    ----------
    folder : Path
        Where they lie.
    sequences : dict
        Sequence name -> ComputationalSequence, old names already mapped.
    paths : dict
        Sequence name -> file.
    notes : list of str
        What a user should know: files left aside, missing metadata.
    """

    folder: Path
    sequences: dict[str, ComputationalSequence] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fingerprint(self) -> dict[str, list[int]]:
        """Identify the files without reading them."""
        return fingerprint(list(self.paths.values()))


def find_files(folder: str | Path) -> list[Path]:
    """Return the .csd files of a dataset folder and of its folder ``labels``."""
    folder = Path(folder)
    found = sorted(folder.glob("*.csd")) + sorted(folder.glob("labels/*.csd"))
    # Names with a dot in front are rests of killed writers, or macOS' own.
    return [path for path in found if not path.name.startswith(".")]


def sequence_names(
    image_feature: str, modalities: str = "TVA", align_to_text: bool = True
) -> list[str]:
    """Return the sequences that a run reads, labels last.

    Parameters
    ----------
    image_feature : {"facet", "openface", "open"}
        The visual features; open stands for all that emorec extracts itself.
    modalities : str
        Letters of `MODALITIES`. The text is needed for its word times also where its
        features are not.
    align_to_text : bool
        Whether words are the common steps.
    """
    steps = steps_of(image_feature, align_to_text)
    names = [
        name
        for letter, name in by_letter(image_feature).items()
        if letter in modalities or name == steps
    ]
    return [*names, *([OPEN_STEPS] if steps == OPEN_STEPS else []), LABELS]


def by_letter(image_feature: str) -> dict[str, str]:
    """Return letter of `MODALITIES` -> its sequence; see `sequence_names`."""
    if image_feature == "open":
        return dict(OPEN)
    return {"T": TEXT, "V": IMAGE[image_feature], "A": AUDIO}


def steps_of(image_feature: str, align_to_text: bool) -> str | None:
    """Return the sequence whose rows are the common steps; None for own rows.

    Open features have windows of equal length for steps where they have no words.
    """
    if align_to_text:
        return by_letter(image_feature)["T"]
    return OPEN_STEPS if image_feature == "open" else None


def open_files(
    folder: str | Path, names: list[str], optional: Collection[str] = ()
) -> MoseiFiles:
    """Open the sequences `names` among the .csd files of a folder.

    Parameters
    ----------
    folder : path
        The dataset folder.
    names : list of str
        Sequences that must be there.
    optional : collection of str
        Sequences that are opened, too, where they are there and whole.

    Raises
    ------
    DataError
        When the folder holds no .csd files, when a sequence is not there, is there
        twice, or its file is damaged. Damage of other files is a note.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Expected a folder of .csd files.")
    paths = find_files(folder)
    if not paths:
        raise DataError(
            f"{folder}: no .csd files here or in its folder 'labels'. Expected "
            f"{shorten([FILES.get(name, name) for name in names])}."
        )
    result = MoseiFiles(folder)
    damaged: list[DataError] = []
    unknown: list[str] = []
    for path in paths:
        try:
            sequence = open_sequence(path)
        except DataError as error:
            damaged.append(error)
            continue
        name = OLD_NAMES.get(sequence.name, sequence.name)
        if name not in names and name not in optional:
            if name not in FILES and name not in OTHER_NAMES:
                unknown.append(f"{path.name} ('{name}')")
            continue
        if name in result.sequences:
            raise DataError(
                f"{folder}: both {result.paths[name].name} and {path.name} hold the "
                f"sequence '{name}'. Keep one of them."
            )
        sequence.name = name
        result.sequences[name] = sequence
        result.paths[name] = path
        if sequence.missing_metadata:
            result.notes.append(
                f"{path.name}: metadata lacks {shorten(sequence.missing_metadata, 3)}."
            )
    missing = [name for name in names if name not in result.sequences]
    if missing:
        lines = [f"'{name}' (usually {FILES[name]})" for name in missing]
        if set(missing) & {*OPEN.values(), OPEN_STEPS}:
            damaged.append(
                DataError(
                    "Extract it with emorec mosei extract; or choose --modalities that "
                    "are there, and without words --align_to_text false."
                )
            )
        found = shorten(result.sequences) or "none of those asked for"
        rest = [f"  {error}" for error in damaged]
        if unknown:
            rest.append(f"  Files of unknown sequences: {shorten(unknown)}.")
        raise DataError(
            "\n".join(
                [
                    f"{folder}: expected the sequence {' and '.join(lines)}, found "
                    f"{found}.",
                    *rest,
                ]
            )
        )
    result.notes += [f"Left aside, not needed now: {error}" for error in damaged]
    if unknown:
        result.notes.append(f"Left aside, unknown sequences: {shorten(unknown)}.")
    return result


def label_columns(labels: ComputationalSequence) -> LabelMap:
    """Return the map from the columns of the label file to `MOSEI`.

    The file's own dimension names decide where they are emotions; else its width does:
    seven columns begin with sentiment, six (the older ``Emotion Labels``) do not.

    Raises
    ------
    DataError
        When neither tells.
    """
    width = labels.width
    if width is None:
        raise DataError(f"{labels.source}: holds no entry that can be read.")
    names = labels.metadata.get("dimension names")
    if isinstance(names, list) and len(names) == width:
        words = [canonical(str(name)) for name in names]
        if set(MOSEI.labels) <= set(words) and len(set(words)) == len(words):
            own = LabelSchema(labels.name, tuple(words), "intensity", -3.0, 3.0)
            return label_map(own, MOSEI)
    by_width = {len(MOSEI_ALL): MOSEI_ALL, len(MOSEI): MOSEI}
    if width not in by_width:
        raise DataError(
            f"{labels.source}: expected 7 label columns "
            f"({', '.join(MOSEI_ALL.labels)}) or the last 6, received {width}, and the "
            "dimension names do not tell them."
        )
    return label_map(by_width[width], MOSEI)


def facet_estimates(image: ComputationalSequence) -> list[int]:
    """Return the columns of FACET that are its own emotion estimates.

    Raises
    ------
    DataError
        When the dimension names do not tell.
    """
    names = image.metadata.get("dimension names")
    names = names if isinstance(names, list) else []
    columns = [
        i for i, name in enumerate(names) if canonical(str(name)) in _FACET_ESTIMATES
    ]
    if not columns:
        raise DataError(
            f"{image.source}: the dimension names do not tell which columns are "
            f"FACET's own emotion estimates (found {shorten(names) or 'none'}). Run "
            "without dropping them."
        )
    return columns


def read_labels_table(path: str | Path, sentiment: bool = True) -> pd.DataFrame:
    """Read CMU-MOSEI's labels as a table: id, start, end and the seven scores.

    With `sentiment` off the first of the seven, which no run learns, may be missing.

    Raises
    ------
    DataError
        When the file cannot be read or lacks a column.
    """
    import pandas as pd

    try:
        # Ids such as "81406" are names, not numbers.
        table = pd.read_csv(path, dtype={"id": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a CSV table ({error}).") from error
    scores = MOSEI_ALL.labels if sentiment else MOSEI.labels
    needed = ["id", "start", "end", *scores]
    missing = [column for column in needed if column not in table]
    if missing:
        raise DataError(f"{path}: lacks the columns {', '.join(missing)}.")
    return table


def write_labels(
    table: pd.DataFrame, path: str | Path, corpus: str = "CMU-MOSEI"
) -> None:
    """Write a labels table (`read_labels_table`) as an ``All Labels`` sequence.

    Segments keep the order of the table within each video.
    """
    columns = [label for label in MOSEI_ALL.labels if label in table]

    def entries() -> Iterator[tuple[str, Rows]]:
        groups = dict(iter(table.groupby("id", sort=False)))
        for video in sorted(groups, key=str.encode):
            rows = groups[video]
            yield (
                video,
                Rows(
                    rows[["start", "end"]].to_numpy(np.float32),
                    rows[columns].to_numpy(np.float32),
                ),
            )

    metadata = describe(corpus, columns, "emotion and sentiment")
    write_sequence(path, LABELS, entries(), metadata)


def describe(
    dataset: str, dimensions: list[str], what: str, version: str = "1.0"
) -> dict[str, object]:
    """Return the metadata that a sequence written by emorec carries."""
    return {
        "computational sequence description": what,
        "dimension names": dimensions,
        "computational sequence version": version,
        "alignment compatible": True,
        "dataset name": dataset,
        "dataset version": version,
        "creator": "emorec",
        "contact": "see the project page of emorec",
        "featureset bib citation": "none",
        "dataset bib citation": "Zadeh et al. 2018, CMU-MOSEI, ACL 2018",
    }
