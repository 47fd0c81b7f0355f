"""Attention fusion on RAVDESS clips whose faces are known as statistics of a clip.

Beside 1,440 sounds (``emorec ravdess prepare``) this takes a table of 360 clips with
features of voice and face (``av_features_360.csv``: column ``audio_clip``, voice
features, ``file``, face features, ``emotion``, ``intensity``, ``actor``). In six folds
by actor it trains the audio's part on all clips of the training actors, the fusions on
those with a face, and prints their table of incomplete data beside logistic regressions
on the same folds. The faces' emotion scores come from a network that had labels of
emotions, so action units alone are a row of their own.

    python benchmarks/ravdess_fusion.py av_features_360.csv prepared --output results
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emorec.cli.app import main as emorec
from emorec.corpora.speaker_folds import share_speakers
from emorec.evaluation.roc import bootstrap_share

FOLDS = 6
# The fusions learn from 300 clips of 20 actors: none are left to validate on.
REGULARISED = ("--no_val", "--dropout", "0.3")
EPOCHS = ("--n_epochs", "16", "--lr_steps", "10", "14")


def columns(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the names of the features of each kind."""
    names = list(table)
    middle = names.index("file")
    face = names[middle + 1 : names.index("emotion")]
    units = [name for name in face if name.startswith(("AU", "mouth"))]
    voice = names[1:middle]
    return {"voice": voice, "face": face, "action units": units}


def write_clips(
    table: pd.DataFrame, features: list[str], prepared: Path, folder: Path
) -> None:
    """Write a list of clips with their prepared sounds and features of the face."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in table.itertuples():
        values = table.loc[clip.Index, features].to_numpy(np.float32)
        # One step: the features are of the whole clip.
        np.save(folder / f"{clip.audio_clip}.npy", values[None])
        rows.append(
            {
                "id": clip.audio_clip,
                "video": f"{clip.audio_clip}.npy",
                "audio": str((prepared / f"{clip.audio_clip}_croppad.wav").resolve()),
                "label": clip.emotion,
                "speaker": f"{clip.actor:02d}",
                "split": "train",
                "intensity": clip.intensity,
            }
        )
    listed = pd.DataFrame(rows)
    # A split has to be there; folds do not use it.
    first, second = sorted(listed.speaker.unique())[:2]
    listed.loc[listed.speaker == first, "split"] = "valid"
    listed.loc[listed.speaker == second, "split"] = "test"
    listed.to_csv(folder / "clips.csv", index=False)


def probes(table: pd.DataFrame) -> None:
    """Print logistic regressions on the same folds, and the constant predictor."""
    kinds = columns(table)
    speakers = table.actor.map("{:02d}".format).to_numpy(str)
    fold = share_speakers(speakers, FOLDS)
    model = make_pipeline(
        SimpleImputer(), StandardScaler(), LogisticRegression(C=0.03, max_iter=3000)
    )
    sets = {
        "voice": kinds["voice"],
        "face": kinds["face"],
        "action units": kinds["action units"],
        "voice + face": kinds["voice"] + kinds["face"],
        "voice + action units": kinds["voice"] + kinds["action units"],
    }
    print(f"\nlogistic regression (C .03), {FOLDS} folds by actor, {len(table)} clips:")
    true = table.emotion.to_numpy(str)
    for name, chosen in sets.items():
        values = table[chosen].to_numpy()
        found = cross_val_predict(model, values, true, cv=PredefinedSplit(fold))
        low, high = bootstrap_share(found == true, speakers)
        print(f"  {name:22} {(found == true).mean():.3f} [{low:.3f}, {high:.3f}]")
    counts = pd.Series(true).value_counts(normalize=True)
    print(f"  {'constant':22} {counts.iloc[0]:.3f} ({counts.index[0]})")


def main() -> int:
    """Train, test and print everything; what is finished is not repeated."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("prepared", type=Path, help="of emorec ravdess prepare")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--fusion", default="all")
    parser.add_argument("--mask", default="all")
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    table, output = pd.read_csv(arguments.table), arguments.output
    probes(table)
    shared = ["--coefficients", "40", "--standardise", "--folds", str(FOLDS), *EPOCHS]
    shared += ["--manual_seed", arguments.seed]
    train = ["ravdess", "train"]
    voice = output / "voice"
    name = f"audio_seed_{arguments.seed}"
    command = [*train, str(arguments.prepared), "--fusion", "audio", "--name", name]
    if code := emorec([*command, "--output", str(voice), *shared]):
        return code
    for kind in ("face", "action units"):
        folder = output / kind.replace(" ", "_")
        clips = folder / "clips"
        write_clips(table, columns(table)[kind], arguments.prepared, clips)
        begun = ["--pretrain_audio", str(voice / f"model_{name}_fold_{{fold}}.keras")]
        for fusion, mask in (
            ("video", "nodropout"),
            (arguments.fusion, arguments.mask),
        ):
            command = [*train, str(clips), "--fusion", fusion, "--mask", mask]
            command += ["--output", str(folder), *shared, *REGULARISED]
            if code := emorec(command + (begun if fusion != "video" else [])):
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
