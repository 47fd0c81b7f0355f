"""What is known of the data and weights that models are made of: terms and nature.

Facts with their source; where emorec knows none, that is what it says. Whether terms of
data bind weights that were learnt from them is for a lawyer.
"""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "unknown"
_ASK = "the terms that came with your copy decide"


@dataclass(frozen=True)
class Terms:
    """Facts of a dataset or of published weights.

    Attributes
    ----------
    name : str
        As the field calls it.
    licence : str
        In words, with what is not known.
    identifier : str
        For the field ``license`` of a model card; ``other`` for terms without a
        common name, ``unknown`` where emorec knows none.
    source : str
        Who says so.
    nature : str
        Who is recorded or shown, and who labelled; empty of weights.
    language : str
        Of the speech or text, two letters; empty where there is none or several.
    acted : bool
        Whether emotions were acted on demand or in a play.
    """

    name: str
    licence: str
    identifier: str
    source: str
    nature: str = ""
    language: str = ""
    acted: bool = False


_CMU = "the terms of Carnegie Mellon University, which emorec does not know in full"
_VIDEOS = "The videos belong to their makers"
# By the beginning of the name that emorec gives a dataset, lower case.
DATASETS = {
    "cmu-mosei": Terms(
        "CMU-MOSEI",
        f"{_CMU}; {_ASK}. {_VIDEOS}.",
        UNKNOWN,
        "the dataset's distribution",
        "People who speak to a camera in videos of YouTube, mostly in English. "
        "Intensities are means of a few annotators' opinions of what is shown, not of "
        "what was felt.",
        "en",
    ),
    "cmu-mosi": Terms(
        "CMU-MOSI",
        f"{_CMU}; {_ASK}. {_VIDEOS}.",
        UNKNOWN,
        "the dataset's distribution",
        "Opinions on films, spoken to a camera in videos of YouTube, in English; "
        "sentiment as annotators rated it.",
        "en",
    ),
    "fer+": Terms(
        "FER2013 with the votes of FER+",
        "Votes: MIT. Faces: for research, not to be passed on.",
        "other",
        "the repository of FER+; the terms of FER2013",
        "Grey faces of 48 x 48 pixels that an image search found; ten votes a face. "
        "Votes say what a face shows to others.",
    ),
    "voxceleb": Terms(
        "VoxCeleb",
        "Told differently: CC BY 4.0, CC BY-SA 4.0, or for research only; emorec "
        f"could not settle it, and {_ASK}. {_VIDEOS}.",
        UNKNOWN,
        "mentions of the dataset that disagree",
        "Interviews with celebrities in videos of YouTube. No person labelled an "
        "emotion: labels are what a network said of the faces.",
    ),
    "ravdess": Terms(
        "RAVDESS",
        "CC BY-NC-SA 4.0: no commercial use.",
        "cc-by-nc-sa-4.0",
        "Livingstone and Russo (2018), the dataset's distribution",
        "24 professional actors who speak two sentences in a studio and act each "
        "emotion as asked, in North American English.",
        "en",
        acted=True,
    ),
    "meld": Terms(
        "MELD",
        "GPL-3.0, as its repository says. The series' sound and pictures belong to "
        "their makers.",
        "gpl-3.0",
        "Poria et al. (2019), the dataset's repository",
        "Dialogues of actors in a television series (Friends), in English; emotions "
        "as annotators chose them for each utterance.",
        "en",
        acted=True,
    ),
    "emodb": Terms(
        "EmoDB",
        f"{UNKNOWN} to emorec; {_ASK}.",
        UNKNOWN,
        "none",
        "Ten actors who act each emotion in ten sentences, in German.",
        "de",
        acted=True,
    ),
    "rml": Terms("RML", f"{UNKNOWN} to emorec; {_ASK}.", UNKNOWN, "none"),
    "enterface": Terms(
        "eNTERFACE'05", f"{UNKNOWN} to emorec; {_ASK}.", UNKNOWN, "none"
    ),
    "afew": Terms("AFEW", f"{UNKNOWN} to emorec; {_ASK}.", UNKNOWN, "none"),
}
DRAWN = Terms(
    "a miniature that emorec draws",
    "MIT, as emorec itself.",
    "mit",
    "emorec",
    "Synthetic: no person is recorded, shown or heard.",
)
# By a word in the names of files and presets.
WEIGHTS = {
    "glove": Terms(
        "GloVe word vectors",
        "Public Domain Dedication and License 1.0",
        "pddl",
        "Pennington et al. (2014), the vectors' distribution",
    ),
    "roberta": Terms(
        "RoBERTa", "MIT", "mit", "Liu et al. (2019), the repository of fairseq"
    ),
}


def is_drawn(dataset: str) -> bool:
    """Return whether a dataset's name is that of one of emorec's miniatures."""
    return "synthetic" in dataset or "miniature" in dataset


def of_dataset(dataset: str) -> Terms:
    """Return what is known of a dataset by the name that emorec gives it."""
    if is_drawn(dataset):
        return DRAWN
    lowered = dataset.lower()
    for beginning, terms in DATASETS.items():
        if lowered.startswith(beginning):
            return terms
    return Terms(
        dataset or "not recorded",
        f"{UNKNOWN} to emorec: data of one's own, or of a corpus that it does not know",
        UNKNOWN,
        "none",
    )


def of_weights(name: str) -> Terms:
    """Return what is known of published weights by the name of a file or preset."""
    for word, terms in WEIGHTS.items():
        if word in name.lower():
            return terms
    return Terms(name, f"{UNKNOWN} to emorec; {_ASK}", UNKNOWN, "none")
