"""Sentence embeddings of MELD by a model that lies on this machine, as one npz.

    python benchmarks/meld_text.py CSV_FOLDER MODEL_FOLDER embeddings.npz
    emorec meld text CSV_FOLDER --model embeddings --embeddings embeddings.npz

Runs in any environment with sentence-transformers, also one without emorec: its
PyTorch need not share emorec's. MODEL_FOLDER is a folder of sentence-transformers, or
the name of an installed package that holds one in a folder `model`. Every utterance of
the csv files {train,dev,test}_sent_emo.csv is embedded, empty ones left out; the npz
holds `ids` ("train/dia0_utt0") and `embeddings` (n, D) float32.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import time
from pathlib import Path

import numpy as np

# Windows-1252 punctuation that stands in the files as control characters.
MARKS = {0x85: "...", 0x91: "'", 0x92: "'", 0x93: '"', 0x94: '"', 0x96: "-", 0x97: "-"}


def utterances(folder: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "dev", "test"):
        path = folder / f"{split}_sent_emo.csv"
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                name = f"{split}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
                words = " ".join(row["Utterance"].translate(MARKS).split())
                if words:
                    found[name] = words
    return found


def model_folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{name}: neither a folder nor an installed package.")
    return Path(found.submodule_search_locations[0]) / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--batch_size", type=int, default=64)
    arguments = parser.parse_args()
    from sentence_transformers import SentenceTransformer

    texts = utterances(arguments.folder)
    network = SentenceTransformer(str(model_folder(arguments.model)), device="cpu")
    began = time.perf_counter()
    vectors = network.encode(
        list(texts.values()), batch_size=arguments.batch_size, show_progress_bar=False
    )
    seconds = time.perf_counter() - began
    np.savez(arguments.output, ids=np.array(list(texts)), embeddings=vectors)
    print(f"{vectors.shape[0]} utterances x {vectors.shape[1]} in {seconds:.0f} s")


if __name__ == "__main__":
    main()
