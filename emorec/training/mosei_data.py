"""The data of a CMU-MOSEI run: segments, folds, normalisation, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.pickles import write_pickle
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import write_table
from emorec.batches.ragged import RaggedBuilder, RaggedStore
from emorec.corpora import extraction, mosei
from emorec.corpora.folds import FOLDS, FoldLists
from emorec.corpora.segments import Report, build_segments, select_columns
from emorec.errors import DataError, SpecError
from emorec.files import digest
from emorec.sequences.alignment import AlignedDataset, Entries
from emorec.sequences.csd import ComputationalSequence
from emorec.sequences.overlaps import EPSILON
from emorec.training import hosts, mosei_scaling
from emorec.training.config import MoseiConfig
from emorec.training.mosei_aligned import is_current, load_aligned, write_beside
from emorec.training.mosei_source import Say, Source


@dataclass
class MoseiData:
    """Everything that training and evaluation need.

    Attributes
    ----------
    stores : dict
        Fold -> RaggedStore whose labels are the six emotion scores.
    report : Report
        Dropped, filled, repaired and foldless segments.
    spec : Spec
        Of the model that fits these data.
    damaged : dict
        Video that was left out -> the error that reading it met.
    """

    stores: dict[str, RaggedStore]
    report: Report
    spec: Spec
    damaged: dict[str, str]

    def with_steps(self, steps: int) -> MoseiData:
        """Return the same data for a model that sees `steps` steps, 0 for all."""
        return replace(self, spec=replace(self.spec, max_steps=steps))


def load_data(
    config: MoseiConfig,
    source: Source,
    say: Say,
    trained: dict[str, Any] | None = None,
) -> MoseiData:
    """Build the folds of a run and write them, with their report.

    Parameters
    ----------
    config : MoseiConfig
        Resolved, with names.
    source : Source
        From `locate`.
    say : callable
        Receives lines for the user.
    trained : dict, optional
        Normalisation of a trained model, whose statistics are taken where it is of the
        kind of the run; by default they are those of the training fold.
    """
    left_out = load_aligned(config, source, say)
    aligned = left_out.sequences
    label_map = mosei.label_columns(_labels_of(source, aligned))
    by_modality, widths = _features(config, source, aligned)
    fold_of = {video: fold for fold in FOLDS for video in source.folds[fold]}
    report = Report()
    _report_unaligned(source, left_out, fold_of, report)
    builders = {fold: RaggedBuilder() for fold in FOLDS}
    for fold, segment in build_segments(
        by_modality,
        aligned[source.steps] if source.steps else None,
        aligned[mosei.LABELS],
        label_map,
        fold_of,
        config.missing,
        config.normalise == "zscore",
        report,
        config.modalities,
        # Windows beyond the end of a film or a sound are no steps.
        drop_empty=source.steps == mosei.OPEN_STEPS,
    ):
        builders[fold].add(*segment)
    for fold, builder in builders.items():
        if not len(builder):
            raise DataError(
                f"Fold '{fold}' has no usable segment; see the reasons below.\n"
                f"{report.summary().to_string(index=False)}"
            )
    stores = {fold: builder.store() for fold, builder in builders.items()}
    columns = [widths[letter] for letter in config.modalities]
    normalisation = trained
    if trained is None or trained.get("kind") != config.normalise:
        normalisation = mosei_scaling.fit(
            config.normalise, stores["train"], columns, "T" in config.modalities
        )
    for store in stores.values():
        mosei_scaling.apply(store, normalisation, columns)
    modalities = tuple(
        Modality(mosei.MODALITIES[letter], _named(source, letter), widths[letter])
        for letter in config.modalities
    )
    spec = Spec(
        schema=config.schema,
        modalities=modalities,
        max_steps=config.fixed_num_steps,
        label_type=config.label_type,
        normalisation=normalisation,
        data={
            "dataset": source.dataset,
            "miniature": source.is_miniature,
            "folds": source.origin,
            "custom_split": config.with_custom_split,
            "missing": config.missing,
            "facet_estimates": (
                "V" in config.modalities
                and config.image_feature == "facet"
                and not config.drop_facet_emotions
            ),
            **_extraction(config, source),
        },
    )
    _write_folds(config, source, stores, report, say)
    return MoseiData(stores, report, spec, left_out.damaged)


def _labels_of(source: Source, aligned: dict[str, Entries]) -> ComputationalSequence:
    if source.files is not None:
        return source.files.sequences[mosei.LABELS]
    entries = {key: rows._asdict() for key, rows in aligned[mosei.LABELS].items()}
    return ComputationalSequence(
        entries, {"root name": mosei.LABELS}, str(source.pickle)
    )


def _named(source: Source, letter: str) -> str:
    """Return what tells the features of a modality from all others."""
    name = source.by_letter[letter]
    if name not in mosei.OPEN.values():
        return name
    return f"{name} {extraction.identity(source.files.sequences[name])}"


def _extraction(config: MoseiConfig, source: Source) -> dict[str, Any]:
    """Return how open features were made, by which prediction makes them again."""
    if config.image_feature != "open":
        return {}
    # The steps are told by the text also where its features are not used.
    used = [
        x
        for x in "TVA"
        if x in config.modalities or source.by_letter[x] == source.steps
    ]
    own = {
        letter: extraction.of_sequence(source.files.sequences[source.by_letter[letter]])
        for letter in used
    }
    if source.steps == mosei.OPEN_STEPS:
        own["steps"] = extraction.of_sequence(source.files.sequences[source.steps])
    return {"extraction": own}


def _features(
    config: MoseiConfig, source: Source, aligned: dict[str, Entries]
) -> tuple[dict[str, Entries], dict[str, int]]:
    """Return letter -> entries, and letter -> number of columns."""
    found = {}
    for letter in mosei.MODALITIES:
        name = source.by_letter.get(letter)
        if name not in aligned:
            continue
        entries = aligned[name]
        if letter == "V" and config.drop_facet_emotions:
            if source.files is None:
                raise SpecError(
                    "--drop_facet_emotions: an aligned pickle does not name its "
                    "columns; start from the .csd files."
                )
            image = source.files.sequences[name]
            entries = select_columns(entries, mosei.facet_estimates(image))
        if not entries:
            raise DataError(
                f"'{name}' has no aligned entry. Are its times those of the same "
                "videos?"
            )
        found[letter] = entries
    widths = {
        letter: next(iter(entries.values())).features.shape[1]
        for letter, entries in found.items()
    }
    return found, widths


def _report_unaligned(
    source: Source,
    aligned: AlignedDataset,
    fold_of: dict[str, str],
    report: Report,
) -> None:
    """List the labelled segments that the alignment left out."""
    if source.files is None:
        return
    stored = source.files.sequences[mosei.LABELS]
    labels = aligned.sequences[mosei.LABELS]
    for video in stored.videos:
        fold = fold_of.get(video, "")
        damage, missing = aligned.damaged.get(video), aligned.dropped.get(video)
        try:
            intervals = stored.read_video(video).intervals
        except DataError as error:
            report.add(video, fold, "damaged", str(error))
            continue
        for i, (start, end) in enumerate(intervals):
            if f"{video}[{i}]" in labels:
                continue
            zero = abs(end - start) < EPSILON
            default = "segment of no length" if zero else "no aligned words"
            action = "damaged" if damage else "dropped"
            report.add(f"{video}[{i}]", fold, action, damage or missing or default)


def _write_folds(
    config: MoseiConfig,
    source: Source,
    stores: dict[str, RaggedStore],
    report: Report,
    say: Say,
) -> None:
    """Write each fold as [features, labels, segment ids], and the report's tables."""
    base = Path(config.pickle_folder)
    identity = {
        "dataset": source.dataset,
        "source": source.fingerprint(),
        "folds": digest(source.folds),
        "settings": {
            name: getattr(config, name)
            for name in (
                *("modalities", "missing", "normalise", "image_feature"),
                *("drop_facet_emotions", "align_to_text"),
            )
        },
    }
    for fold, store in stores.items():
        path = base / f"{config.pickle_name_fold}_{fold}.pkl"
        if is_current(path, identity):
            continue
        features = [store.sequence(i) for i in range(len(store))]
        labels = [store.labels[i : i + 1] for i in range(len(store))]
        written = write_pickle(path, [features, labels, store.ids])
        write_beside(path, written, identity)
    tables = {"report": report.table(), "nonfinite": report.nonfinite_table()}
    for name, table in tables.items() if hosts.here().lead else ():
        write_table(base / f"{config.pickle_name_fold}_{name}.csv", table)
    say("\nSegments per fold, and how many have each emotion:")
    say(counts(source.folds, stores, config).to_string(index=False))
    replaced = report.nonfinite_table()["replaced"].sum()
    if report.rows or replaced:
        say("\nLeft out, filled or repaired:")
        if report.rows:
            say(report.summary().to_string(index=False))
        if replaced:
            say(f"{replaced:,} feature values were not finite and were replaced.")
        say(f"Each is listed in {base / config.pickle_name_fold}_report.csv.")


def counts(
    folds: FoldLists, stores: dict[str, RaggedStore], config: MoseiConfig
) -> pd.DataFrame:
    """Return one row a fold: videos, segments, median steps, segments per emotion."""
    rows = []
    for fold, store in stores.items():
        present = (store.labels > 0).sum(axis=0)
        rows.append(
            {
                "fold": fold,
                "videos": len({key.split("[")[0] for key in store.ids}),
                "segments": len(store),
                "median_steps": int(np.median(store.lengths)),
            }
            | {
                label: int(present[k])
                for k, label in enumerate(config.schema.labels)
                if k < store.labels.shape[1]
            }
        )
    return pd.DataFrame(rows)
