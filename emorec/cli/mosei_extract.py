"""Open features from raw clips: emorec mosei extract, miniature_clips."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from emorec.cli.console import INCOMPLETE, OK, say
from emorec.cli.faces_label import add_sampling, sampling_of

if TYPE_CHECKING:
    from emorec.training.recipes_open import OpenRecipe

# Failures that are printed; failures.csv has all.
_PRINTED = 5


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to ``emorec mosei``."""
    parser = commands.add_parser(
        "extract",
        help="make features of raw clips, for --features open; resumes",
        description="Make computational sequences of the films, sounds and transcripts "
        "of a corpus, which main.py --features open trains on. Files of one name are "
        "one video, whose labels and folds have that name. Videos that are finished "
        "are not repeated. Exits with 3 when something was left out; failures.csv "
        "says what.",
    )
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="CLIP",
        help="videos, sounds and transcripts (srt, vtt, tables with start, end and "
        "text), or folders of them",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="dataset folder")
    add_sequences(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that hear voices"
    )
    add_words(parser)
    add_voice(parser)
    add_face(parser)
    parser.set_defaults(run=extract)

    miniature_parser = commands.add_parser(
        "miniature_clips",
        help="write a synthetic corpus of raw clips, to try extract with",
        description="Write drawn and spoken clips with transcripts, word vectors, "
        "labels and folds. Nothing in them is of a person.",
    )
    miniature_parser.add_argument("folder", metavar="DIR")
    miniature_parser.add_argument("--videos", type=int, default=40, metavar="N")
    miniature_parser.add_argument("--seed", type=int, default=0)
    miniature_parser.set_defaults(run=miniature_clips)


def add_sequences(parser: argparse._ActionsContainer) -> None:
    """Add what the .csd files tell beside the features."""
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        help="labels of the segments, copied beside the features: a table of id, "
        "start, end and six emotions, or an 'All Labels' .csd file",
    )
    parser.add_argument("--name", metavar="CORPUS", help="what outputs call the corpus")
    parser.add_argument(
        "--step",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="a step of runs without words (--align_to_text false)",
    )


def add_words(parser: argparse.ArgumentParser) -> None:
    """Add what makes vectors of words."""
    words = parser.add_argument_group("words")
    words.add_argument(
        "--text",
        choices=("glove", "sentences"),
        help="a vector for each word, or for each cue of the transcript",
    )
    words.add_argument(
        "--vectors", metavar="FILE", help="word vectors, as GloVe's files or an .npz"
    )
    words.add_argument(
        "--sentence_model",
        metavar="MODEL",
        help="a model or folder of sentence-transformers or keras-hub",
    )


def add_voice(parser: argparse.ArgumentParser) -> None:
    """Add what makes features of voices."""
    voice = parser.add_argument_group("voice")
    voice.add_argument(
        "--voice",
        choices=("librosa", "egemaps"),
        help="features by librosa, or eGeMAPS by openSMILE (research only)",
    )


def add_face(parser: argparse.ArgumentParser) -> None:
    """Add what makes features of faces."""
    face = parser.add_argument_group("face")
    face.add_argument("--face", metavar="RUN", help="a finished run of emorec faces")
    face.add_argument(
        "--face_output",
        choices=("probabilities", "embedding", "both"),
        default="probabilities",
        help="of the run's network: log probabilities, the input of its last layer, "
        "or both",
    )
    add_sampling(face, ("main", "largest"))


def extract(arguments: argparse.Namespace) -> int:
    """Extract features; return INCOMPLETE when something was left out."""
    fronts = _front_ends(arguments)
    from emorec.corpora.recorded import find_recorded
    from emorec.training import open_extraction

    recorded = find_recorded(arguments.clips)
    corpus = corpus_name(arguments)
    say(f"{corpus}: {len(recorded)} videos.")
    put_labels(arguments.labels, arguments.output, corpus)
    result = open_extraction.extract(
        recorded,
        fronts,
        arguments.output,
        corpus,
        arguments.step,
        arguments.workers,
    )
    for video, modality, reason in result.failures[:_PRINTED]:
        say(f"left out: {video}, {modality}: {reason}")
    if len(result.failures) > _PRINTED:
        more = len(result.failures) - _PRINTED
        say(f"left out: {more} more, see {open_extraction.FAILURES}")
    say(
        f"{result.made} extracted, {result.before} finished before, "
        f"{len(result.failures)} failed."
    )
    for path in result.paths:
        say(f"  {path}")
    say_training(arguments.output, "".join(fronts))
    return INCOMPLETE if result.failures else OK


def say_training(folder: str | Path, letters: str) -> None:
    """Tell how to train on the modalities of a folder of sequences."""
    subset = "" if len(letters) == 3 else f" -m {letters}"
    steps = "" if "T" in letters else " -t false"
    say("Train with:")
    say(f"  python main.py --features open --data {folder}{subset}{steps}")


def _front_ends(arguments: argparse.Namespace) -> dict:
    """Return letter -> how its rows are made; say what is missing before any work."""
    from emorec.errors import SpecError

    recipe = open_recipe(arguments)
    check_step(arguments)
    if arguments.workers is not None and arguments.workers < 1:
        raise SpecError(f"--workers {arguments.workers}: expected 1 or more.")
    return recipe.fronts()


def open_recipe(arguments: argparse.Namespace) -> OpenRecipe:
    """Return how the words, face and voice that are asked for are made."""
    from emorec.training.recipes_open import OpenRecipe

    return OpenRecipe(
        text=arguments.text or "",
        vectors=arguments.vectors or "",
        sentence_model=arguments.sentence_model or "",
        voice=arguments.voice or "",
        face=arguments.face or "",
        face_output=arguments.face_output,
        sampling=sampling_of(arguments),
    )


def check_step(arguments: argparse.Namespace) -> None:
    """Refuse a step that cannot be."""
    from emorec.errors import SpecError

    if not 0.1 <= arguments.step <= 60:
        raise SpecError(f"--step {arguments.step:g}: expected 0.1 to 60 seconds.")


def corpus_name(arguments: argparse.Namespace) -> str:
    """Return what outputs call the corpus."""
    from emorec.corpora import clips_miniature, miniature

    if any(clips_miniature.is_miniature(path) for path in arguments.clips):
        return miniature.DATASET
    return arguments.name or Path(arguments.clips[0]).resolve().stem


def put_labels(labels: str | None, output: str | Path, corpus: str) -> None:
    """Put the labels beside the features, where a run finds them."""
    from emorec.corpora import mosei
    from emorec.files import digest, read_json, whole_file, write_json
    from emorec.sequences.csd import open_sequence
    from emorec.training.open_features import content_of

    if not labels:
        return
    source = Path(labels)
    goal = Path(output) / "labels" / mosei.FILES[mosei.LABELS]
    # The same labels stay, and so what was aligned to them.
    own, beside = digest([content_of(source), corpus]), goal.with_suffix(".json")
    if goal.is_file() and beside.is_file() and read_json(beside) == own:
        return
    if source.suffix == ".csd":
        mosei.label_columns(open_sequence(source))
        with whole_file(goal) as temporary:
            shutil.copyfile(source, temporary)
    else:
        table = mosei.read_labels_table(source, sentiment=False)
        mosei.write_labels(table, goal, corpus)
    write_json(beside, own)


def miniature_clips(arguments: argparse.Namespace) -> int:
    """Write the miniature of raw clips."""
    from emorec.corpora.clips_miniature import LABELS, VECTORS, write_clips

    folder = Path(arguments.folder)
    new = write_clips(folder, arguments.seed, arguments.videos)
    say(f"{'Wrote' if new else 'There already:'} the miniature of clips in {folder}.")
    say("Extract its features with:")
    say(
        f"  emorec mosei extract {folder} --output {folder}/open --labels "
        f"{folder / LABELS} --text glove --vectors {folder / VECTORS} --voice librosa "
        "--face RUN --faces given"
    )
    return OK
