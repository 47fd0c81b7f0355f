"""Small corpora of tones and noise, for trainings that several processes share."""

from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.logits import Logits, write_logits
from emorec.corpora.drawn_voices import RATE, write_sound
from emorec.labels import FERPLUS


def _tone(random: np.random.Generator, kind: int, seconds: float) -> np.ndarray:
    time = np.arange(int(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * (150 + 100 * kind) * time * (1 + 0.1 * time))
    return 0.3 * tone + random.normal(0, 0.03, len(time))


def small_voxceleb(folder: Path) -> Path:
    """Write sounds of 1.1 to 2 s, their split, and three rows of logits of each.

    Four speakers are heard in training (16 clips, and 4 held back), two are not (8).
    Pitch and logits follow a hidden class.
    """
    random = np.random.default_rng(0)
    lines, ids, logits = [], [], []
    for speaker in range(6):
        for number in range(5 if speaker < 4 else 4):
            name = f"id{speaker:05d}/video{number}/00001"
            kind = (speaker + number) % len(FERPLUS)
            path = folder / "wav" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sound(path, _tone(random, kind, random.uniform(1.1, 2)))
            # 1 is train, 2 unheardVal, 3 heardVal.
            part = 2 if speaker >= 4 else 3 if number == 4 else 1
            lines.append(f"{part} {name}.wav")
            ids.append(name)
            logits.append(random.normal(0, 1, (3, 8)) + 4 * np.eye(8)[kind])
    (folder / "emovoxceleb_split.txt").write_text("\n".join(lines) + "\n")
    rows = 3 * len(ids)
    merged = Logits(
        FERPLUS,
        ids,
        np.arange(0, rows + 1, 3),
        np.tile([0.0, 0.24, 0.48], len(ids)),
        np.concatenate(logits).astype(np.float32),
        np.zeros((rows, 4), np.float32),
        np.zeros(rows, np.int32),
        {"network": "nobody"},
    )
    (folder / "logits").mkdir()
    write_logits(folder / "logits" / "logits.npz", merged)
    return folder


def small_clips(folder: Path) -> Path:
    """Write sounds and features of faces, and the CSV that lists them: two classes.

    16 clips to learn from, 4 to validate on, 4 to test; some have no sound.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(24):
        kind = number % 2
        np.save(
            folder / f"{number}.npy",
            (random.normal(0, 1, (15, 8)) + kind).astype(np.float32),
        )
        write_sound(folder / f"{number}.wav", _tone(random, 5 * kind, 1.0))
        split = "train" if number < 16 else "valid" if number < 20 else "test"
        rows.append(
            {
                "video": f"{number}.npy",
                "audio": "" if number % 8 == 0 else f"{number}.wav",
                "label": ("low", "high")[kind],
                "speaker": f"s{number // 4}",
                "split": split,
            }
        )
    pd.DataFrame(rows).to_csv(folder / "clips.csv", index=False)
    return folder / "clips.csv"
