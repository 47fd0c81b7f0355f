"""Tiny dialogues in MELD's files, whose words tell the emotions."""

import csv

import numpy as np

from emorec.features.sentence_embeddings import write_embeddings

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENT = {"neutral": "neutral", "joy": "positive", "surprise": "positive"}
HEADER = [
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"),
    *("Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
]
# A word tells the emotion; fillers tell nothing.
TELLING = dict(
    zip(
        EMOTIONS,
        ("damn", "yuck", "scared", "great", "okay", "sorry", "wow"),
        strict=True,
    )
)
FILLERS = ("you", "the", "we", "is", "that", "to")


def write_corpus(folder, dialogues=(20, 4, 4), length=5, empty=()):
    """Write dialogues whose telling word says the emotion; `empty` ids have none."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    for split, count in zip(("train", "dev", "test"), dialogues, strict=True):
        with (folder / f"{split}_sent_emo.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for dialogue in range(count):
                for number in range(length):
                    emotion = EMOTIONS[
                        random.choice(7, p=[0.1] * 4 + [0.4] + [0.1] * 2)
                    ]
                    words = [*random.choice(FILLERS, 3), TELLING[emotion]]
                    said = " ".join(random.permutation(words)) + "!"
                    if f"{split}/dia{dialogue}_utt{number}" in empty:
                        said = ""
                    speaker = ("Ross", "Joey")[random.integers(2)]
                    row = [
                        1,
                        said,
                        speaker,
                        emotion,
                        SENTIMENT.get(emotion, "negative"),
                    ]
                    times = [f"00:00:{number:02d},000", f"00:00:{number:02d},900"]
                    writer.writerow([*row, dialogue, number, 1, 1, *times])
    return folder


def quiet(line):
    pass


def shuffled_embeddings(corpus, path, seed=0):
    """Write vectors that hold the class and noise, in another order of ids."""
    random = np.random.default_rng(seed)
    vectors = np.eye(7)[corpus.classes] + random.normal(0, 0.2, (len(corpus), 7))
    order = random.permutation(len(corpus))
    write_embeddings(path, [corpus.ids[row] for row in order], vectors[order])
    return path
