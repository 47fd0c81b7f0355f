"""A small MELD that tests write themselves: csv files, and tones that tell emotions."""

import csv

import numpy as np

SENTIMENT = {"joy": "positive", "surprise": "positive", "neutral": "neutral"}
# Emotion -> pitch in hertz.
PITCH = {"neutral": 220, "joy": 800, "anger": 2000}
COLUMNS = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"),
    *("Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
)
COUNTS = {"train": 36, "dev": 12, "test": 12}
RATE = 8000


def write_tables(folder, counts=None, emotions=tuple(PITCH)):
    """Write the csv files; dialogues have three utterances, emotions take turns."""
    for split, count in (counts or COUNTS).items():
        with (folder / f"{split}_sent_emo.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            for n in range(count):
                emotion = emotion_of(n, emotions)
                sentiment = SENTIMENT.get(emotion, "negative")
                times = [f"00:{n // 60:02d}:{n % 60:02d},{ms}" for ms in (100, 900)]
                who = [n + 1, f"Words {n}", "Ross", emotion, sentiment]
                rows.writerow([*who, n // 3, n % 3, 1, 1 + n // 10, *times])
    return folder


def emotion_of(n, emotions=tuple(PITCH)):
    """Return the emotion of the n-th utterance of a split."""
    return emotions[n % len(emotions)]


def sound_path(folder, split, n):
    return folder / "audio" / split / f"dia{n // 3}_utt{n % 3}.wav"


def tone(emotion, seed=0, seconds=0.4):
    random = np.random.default_rng(seed)
    time = np.arange(round(RATE * seconds)) / RATE
    wave = np.sin(2 * np.pi * PITCH[emotion] * random.uniform(0.9, 1.1) * time)
    return 0.3 * wave + random.normal(0, 0.05, len(time))


def write_small_meld(folder):
    """Write csv files and wav files of every utterance."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder)
    for place, (split, count) in enumerate(COUNTS.items()):
        for n in range(count):
            path = sound_path(folder, split, n)
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, tone(emotion_of(n), 1000 * place + n), RATE)
    return folder
