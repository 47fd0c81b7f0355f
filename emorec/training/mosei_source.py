"""Where the data of a CMU-MOSEI run come from, known before any features are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emorec.corpora import folds as fold_lists
from emorec.corpora import miniature, mosei
from emorec.corpora.folds import FoldLists
from emorec.errors import SpecError, shorten
from emorec.files import digest, fingerprint, read_json
from emorec.training.config import MoseiConfig

Say = Callable[[str], None]
DEFAULT_FOLDER = Path("cmu_mosei")


@dataclass
class Source:
    """Where a run's data come from, known before any features are read.

    Attributes
    ----------
    folder : Path
        The dataset folder.
    is_miniature : bool
        Whether it holds emorec's synthetic miniature.
    names : list of str
        Sequences that the run reads, labels last.
    by_letter : dict
        Letter of the modality -> its sequence; imported data have names of their own.
    files : MoseiFiles or None
        Open sequences; None when only an aligned pickle is there.
    folds : dict
        Fold -> video ids.
    origin : str
        Where the folds come from.
    notes : list of str
        What the user should know.
    pickle : Path or None
        The aligned pickle where there are no files.
    steps : str or None
        The sequence whose rows are the steps of all; None for each one's own rows.
    partial : tuple of str
        Sequences that may lack a video.
    name : str
        What the corpus is called.
    """

    folder: Path
    is_miniature: bool
    names: list[str]
    by_letter: dict[str, str]
    files: mosei.MoseiFiles | None
    folds: FoldLists
    origin: str
    notes: list[str] = field(default_factory=list)
    pickle: Path | None = None
    steps: str | None = None
    partial: tuple[str, ...] = ()
    name: str = "CMU-MOSEI"

    @property
    def dataset(self) -> str:
        """Name of the dataset, as every output tells it."""
        return miniature.DATASET if self.is_miniature else self.name

    def fingerprint(self) -> dict[str, list[int]]:
        """Identify the files without reading them."""
        if self.files is None:
            return fingerprint([self.pickle])
        return self.files.fingerprint()

    def identity(self) -> dict[str, Any]:
        """Return what a model trained on these data must record."""
        sizes = {name: size for name, (size, _) in self.fingerprint().items()}
        return {"name": self.dataset, "bytes": sizes, "folds": digest(self.folds)}


def banner(dataset: str, folder: Path) -> str:
    """Return the line that begins and ends a run's output."""
    if dataset == miniature.DATASET:
        return (
            f"DATA: the MINIATURE in {folder}: synthetic, no recordings of people. Its "
            "scores show that the program works and nothing else. Put CMU-MOSEI's .csd "
            f"files into {DEFAULT_FOLDER} to run on them."
        )
    return f"DATA: {dataset} in {folder}."


def locate(
    config: MoseiConfig, say: Say, dry_run: bool = False
) -> tuple[MoseiConfig, Source | None]:
    """Find the data of a run; write the miniature where the default folder is empty.

    Parameters
    ----------
    config : MoseiConfig
        Resolved.
    say : callable
        Receives lines for the user; the first is the banner.
    dry_run : bool
        Write nothing.

    Returns
    -------
    config : MoseiConfig
        With its names resolved: files made from the miniature carry its name, so that
        they can never be taken for results on real data.
    source : Source or None
        None in a dry run whose miniature is not there yet.

    Raises
    ------
    DataError
        When a folder that the user named holds no data, or the files are damaged.
    """
    folder = Path(config.dataset_folder or DEFAULT_FOLDER)
    names = mosei.sequence_names(
        config.image_feature, config.modalities, config.align_to_text
    )
    aligned = _aligned_pickle(config, folder)
    if aligned is not None:
        source = _from_pickle(config, folder, names, aligned)
        say(banner(source.dataset, aligned))
        return _with_names(config, source.is_miniature), source
    if config.dataset_folder is None and not mosei.find_files(folder):
        folder = folder / miniature.FOLDER
        say(banner(miniature.DATASET, folder))
        if config.image_feature == "open":
            raise SpecError(
                f"--features open: {folder.parent} holds no .csd files. Name the "
                "folder that emorec mosei extract has written: --data DIR."
            )
        if config.image_feature != "facet":
            raise SpecError(
                f"--image_feature {config.image_feature}: the miniature has FACET "
                "features only. Run with facet, or on the files of CMU-MOSEI."
            )
        if dry_run and not mosei.find_files(folder):
            return _with_names(config, True), None
        if miniature.write_mosei(folder):
            say(f"Wrote the miniature to {folder}, as {DEFAULT_FOLDER} is empty.")
        return _with_names(config, True), _from_files(config, folder, names)
    source = _from_files(config, folder, names)
    say(banner(source.dataset, folder))
    return _with_names(config, source.is_miniature), source


def _from_files(config: MoseiConfig, folder: Path, names: list[str]) -> Source:
    optional = []
    if config.align_to_text:
        # Aligned, too, where it is there: then every subset has the same segments.
        optional = mosei.sequence_names(config.image_feature)
    files = mosei.open_files(folder, names, optional)
    known = [*optional, *names]
    names = [name for name in dict.fromkeys(known) if name in files.sequences]
    is_miniature = miniature.is_miniature(files.sequences.values())
    steps = mosei.steps_of(config.image_feature, config.align_to_text)
    if config.image_feature == "open":
        return _from_extraction(config, folder, names, files, is_miniature, steps)
    chosen = config.folds
    if is_miniature and chosen == "auto":
        # mmsdk's lists are those of the real videos.
        chosen = str(folder / fold_lists.FILE_NAME)
    folds, origin, note = fold_lists.standard_folds(folder, chosen)
    if config.with_custom_split:
        folds = fold_lists.custom_split(folds)
    videos = files.sequences[mosei.LABELS].videos
    unknown = fold_lists.check_known(
        folds, videos, origin, config.ignore_unknown_videos
    )
    notes = [*files.notes, *([note] if note else []), *unknown]
    return Source(
        folder,
        is_miniature,
        names,
        mosei.by_letter(config.image_feature),
        *(files, folds, origin, notes),
        steps=steps,
    )


def _from_extraction(
    config: MoseiConfig,
    folder: Path,
    names: list[str],
    files: mosei.MoseiFiles,
    is_miniature: bool,
    steps: str | None,
) -> Source:
    """Return a source of the files that ``emorec mosei extract`` has written."""
    labels = files.sequences[mosei.LABELS]
    folds, origin, note = fold_lists.folds_of_corpus(
        folder, config.folds, labels.videos
    )
    if config.with_custom_split:
        folds = fold_lists.custom_split(folds)
    unknown = fold_lists.check_known(
        folds, labels.videos, origin, config.ignore_unknown_videos
    )
    features = [name for name in names if name != mosei.LABELS]
    told = files.sequences[features[0]].metadata.get("dataset name")
    partial = [name for name in features if name != steps]
    return Source(
        folder,
        is_miniature,
        names,
        mosei.by_letter("open"),
        *(files, folds, origin),
        notes=[*files.notes, *([note] if note else []), *unknown],
        steps=steps,
        partial=tuple(partial) if config.missing == "mask" else (),
        name=str(told),
    )


def _aligned_pickle(config: MoseiConfig, folder: Path) -> Path | None:
    """Return the user's own aligned dataset when there are no .csd files to align."""
    if config.pickle_name_dataset is None or mosei.find_files(folder):
        return None
    if config.image_feature == "open":
        return None  # An aligned dataset does not tell how features were made.
    path = Path(config.pickle_folder) / f"{config.pickle_name_dataset}.pkl"
    # The miniature of the default folder is read from its own files.
    if not path.is_file() or (config.dataset_folder is None and _holds_miniature(path)):
        return None
    return path


def _holds_miniature(path: Path) -> bool:
    """Tell from the file beside an aligned pickle what it was made from."""
    beside = path.with_suffix(".json")
    return beside.is_file() and read_json(beside).get("dataset") == miniature.DATASET


def _from_pickle(
    config: MoseiConfig, folder: Path, names: list[str], path: Path
) -> Source:
    folds, origin, note = fold_lists.standard_folds(folder, config.folds)
    if config.with_custom_split:
        folds = fold_lists.custom_split(folds)
    notes = [note] if note else []
    by_letter = mosei.by_letter(config.image_feature)
    imported = _imported_names(config, path)
    if imported:
        by_letter = imported
        used = config.modalities + ("T" if config.align_to_text else "")
        names = [name for letter, name in imported.items() if letter in used]
        names.append(mosei.LABELS)
        notes.append(f"imported features: {shorten(names[:-1])} of {path.name}")
    return Source(
        folder,
        _holds_miniature(path),
        names,
        by_letter,
        None,
        folds,
        origin,
        notes,
        path,
        steps=by_letter["T"] if config.align_to_text else None,
    )


def _imported_names(config: MoseiConfig, path: Path) -> dict[str, str]:
    """Return letter -> sequence of an imported pickle; empty for any other.

    Raises
    ------
    SpecError
        When it lacks a modality, or the common steps, that the run asks for.
    """
    beside = path.with_suffix(".json")
    told = read_json(beside) if beside.is_file() else {}
    names = told.get("sequences")
    if not isinstance(names, dict):
        return {}
    if config.image_feature != "facet":
        raise SpecError(
            f"--image_feature {config.image_feature}: {path} was imported, with image "
            "features of its own. Leave the option out."
        )
    if config.align_to_text and not told.get("aligned"):
        raise SpecError(
            f"{path}: its modalities run at rates of their own and cannot be fused "
            "word by word. Train on one of them: --align_to_text false --modalities "
            f"{' or '.join(names)}."
        )
    used = config.modalities + ("T" if config.align_to_text else "")
    lacking = [
        name for m, name in mosei.MODALITIES.items() if m in set(used) - {*names}
    ]
    if lacking:
        raise SpecError(
            f"{path}: has no {' and no '.join(lacking)}, only {', '.join(names)}. "
            "Choose --modalities among these; without text add --align_to_text false."
        )
    return names


def _with_names(config: MoseiConfig, is_miniature: bool) -> MoseiConfig:
    ending = "_miniature" if is_miniature else ""
    if config.image_feature == "open":
        ending = f"_open{ending}"
    # Aligned datasets are large: runs on one image feature must not replace the other.
    image = f"_{config.image_feature}" if config.image_feature == "openface" else ""
    return replace(
        config,
        pickle_name_dataset=config.pickle_name_dataset
        or f"cmu_mosei_aligned{image}{ending}",
        pickle_name_fold=config.pickle_name_fold or f"cmu_mosei{ending}",
        model_name=config.model_name or f"early_fusion{ending}",
    )
