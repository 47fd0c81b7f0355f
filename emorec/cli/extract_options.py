"""What of emorec extract is one kind's own: options, recipe, and what follows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from emorec.cli import mosei_extract
from emorec.cli.console import say
from emorec.cli.faces_label import add_sampling, sampling_of

if TYPE_CHECKING:
    from emorec.training.recipes import Recipe

# Kind -> what its help says, in the order of the help.
KINDS = {
    "faces": "grey crops of the faces in videos",
    "teacher": "a face network's scores of the faces in videos, frame by frame",
    "speech": "a speech network's scores and embeddings, or features, of sounds",
    "text": "vectors of the words or sentences of transcripts",
    "open": "words, face and voice of a corpus' videos, for main.py --features open",
}
CLIPS = {
    "faces": "a video file, a folder of frames, or a folder tree of either",
    "teacher": "a video file, a folder of frames, or a folder tree of either; none "
    "with --from_faces",
    "speech": "sound files, or folders of such; for --features videos, too",
    "text": "transcripts (srt, vtt, tables with start, end and text), or folders of "
    "them",
    "open": "videos, sounds and transcripts (srt, vtt, tables with start, end and "
    "text), or folders of them; files of one name are one video",
}


def add_recipe_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the options of a kind of `KINDS`, and its clips, to its own parser."""
    clips = "*" if kind == "teacher" else "+"
    parser.add_argument("clips", nargs=clips, metavar="CLIP", help=CLIPS[kind])
    group = parser.add_argument_group(kind)
    if kind == "faces":
        group.add_argument(
            "--size", type=int, default=224, metavar="PIXELS", help="side of the crops"
        )
        add_sampling(group)
    elif kind == "teacher":
        group.add_argument(
            "--model",
            required=True,
            metavar="MODEL",
            help="a run by name or file, or NETWORK=WEIGHTS for published ones",
        )
        _add_runs(group, "models/faces")
        group.add_argument(
            "--from_faces",
            metavar="STORE",
            help="judge the crops of this folder or address of emorec extract faces, "
            "whose --tracks all allows any --tracks here",
        )
        add_sampling(group)
    elif kind == "speech":
        group.add_argument(
            "--model", default="", metavar="MODEL", help="a run by name or file"
        )
        _add_runs(group, "models/voices")
        group.add_argument(
            "--features",
            choices=("librosa_means", "librosa", "egemaps"),
            help="no network: 185 means of librosa's features, or rows of a tenth of a "
            "second by librosa or openSMILE (research only)",
        )
    elif kind == "text":
        mosei_extract.add_words(parser)
    else:
        mosei_extract.add_words(parser)
        mosei_extract.add_voice(parser)
        mosei_extract.add_face(parser)
        group.add_argument(
            "--sequences",
            metavar="DIR",
            help="write .csd files there when all is extracted",
        )
        mosei_extract.add_sequences(group)
    parser.set_defaults(kind=kind)


def _add_runs(group: argparse._ActionsContainer, folder: str) -> None:
    group.add_argument(
        "--runs", default=folder, metavar="DIR", help="folder of the runs"
    )


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that the options ask for.

    Raises
    ------
    SpecError
        When they cannot be.
    """
    from emorec.errors import SpecError
    from emorec.training.recipes import recipe

    kind = arguments.kind
    if kind == "faces":
        return recipe(kind, sampling=sampling_of(arguments), size=arguments.size)
    if kind == "teacher":
        own = {"model": arguments.model, "runs": arguments.runs}
        if arguments.from_faces:
            own["faces"] = arguments.from_faces
        return recipe(kind, sampling=sampling_of(arguments), **own)
    if kind == "speech":
        if arguments.features and arguments.model:
            raise SpecError(
                f"--features {arguments.features} needs no --model; give one of both."
            )
        if arguments.features:
            return recipe(kind, features=arguments.features)
        return recipe(kind, model=arguments.model, runs=arguments.runs)
    if kind == "text":
        return recipe(
            kind,
            text=arguments.text or "",
            vectors=arguments.vectors or "",
            sentence_model=arguments.sentence_model or "",
        )
    mosei_extract.check_step(arguments)
    if not arguments.sequences and (arguments.labels or arguments.name):
        raise SpecError("--labels and --name are of .csd files: give --sequences DIR.")
    return mosei_extract.open_recipe(arguments)


def finish(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Do what follows when a store is finished: of open features, write .csd files.

    Parameters
    ----------
    arguments
        With ``output``, the store.
    recipe : Recipe
        Of `recipe_of`.
    """
    if arguments.kind != "open" or not arguments.sequences:
        return
    from emorec.artifacts.stores import open_store
    from emorec.training.open_sequences import write_sequences

    folder = Path(arguments.sequences)
    corpus = mosei_extract.corpus_name(arguments)
    with open_store(arguments.output) as store:
        paths, _ = write_sequences(
            *(store, folder, corpus, arguments.step), recipe.places()
        )
    mosei_extract.put_labels(arguments.labels, folder, corpus)
    for path in paths:
        say(f"  {path}")
    mosei_extract.say_training(folder, recipe.letters)
