"""FER+: both layouts, what votes become, repeated faces, damaged files."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.corpora.fer_miniature import write_ferplus
from emorec.corpora.fer_votes import MODES, label
from emorec.corpora.ferplus import (
    SPLITS,
    USAGES,
    find_repeated,
    read_ferplus,
    seen_before,
    without_repeated,
)
from emorec.errors import DataError, SpecError
from emorec.labels import FERPLUS_VOTES


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The miniature; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("drawn")
    assert write_ferplus(folder)
    return folder


@pytest.fixture
def faces(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "faces")


@pytest.fixture(scope="module")
def real(corpora_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ferplus")
    script = corpora_dir / "ferplus" / "unpack.py"
    subprocess.run([sys.executable, script, folder], check=True)
    return read_ferplus(folder)


def rewrite(folder, change):
    """Change the table of votes."""
    path = folder / "fer2013new.csv"
    table = pd.read_csv(path, dtype=object, keep_default_na=False)
    change(table).to_csv(path, index=False)


def as_table(folder, destination):
    """Write the faces of PNG folders as fer2013.csv."""
    destination.mkdir()
    shutil.copy(folder / "fer2013new.csv", destination)
    with open(folder / "fer2013new.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(destination / "fer2013.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for row in rows:
            face = np.zeros((48, 48), int)
            if name := row["Image name"]:
                face = np.asarray(Image.open(folder / USAGES[row["Usage"]][1] / name))
            writer.writerow([6, " ".join(map(str, face.ravel())), row["Usage"]])


# Votes: neutral happiness surprise sadness anger disgust fear contempt unknown NF.
CASES = [
    # Single votes vanish; cntk takes two of a kind and more.
    ("cntk", (6, 3, 1, 0, 0, 0, 0, 0, 0, 0), [6 / 9, 3 / 9]),
    ("cntk", (4, 4, 0, 2, 0, 0, 0, 0, 0, 0), [0.4, 0.4, 0, 0.2]),
    ("cntk", (4, 0, 0, 0, 0, 0, 0, 0, 4, 2), None),  # tied with unknown
    ("cntk", (3, 3, 3, 1, 0, 0, 0, 0, 0, 0), None),  # three tied
    ("cntk", (4, 3, 3, 0, 0, 0, 0, 0, 0, 0), None),  # no majority
    ("cntk", (1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None),  # nothing left
    ("clean", (4, 3, 2, 1, 0, 0, 0, 0, 0, 0), [0.4, 0.3, 0.2, 0.1]),
    ("clean", (2, 2, 0, 0, 0, 0, 0, 0, 6, 0), None),
    # The first of equal ones decides.
    ("clean", (5, 0, 0, 0, 0, 0, 0, 0, 5, 0), [1.0]),
    ("full", (4, 0, 0, 0, 0, 0, 0, 0, 5, 1), [0.4, *[0] * 7, 0.5, 0.1]),
    ("majority", (6, 3, 1, 0, 0, 0, 0, 0, 0, 0), [1.0]),
    ("majority", (5, 5, 0, 0, 0, 0, 0, 0, 0, 0), None),
    ("majority", (2, 2, 0, 0, 0, 0, 0, 0, 0, 6), None),
    # Three quarters are reached with two.
    ("crossentropy", (5, 3, 2, 0, 0, 0, 0, 0, 0, 0), [5 / 8, 3 / 8]),
    # Two tied are taken together, and then no fourth.
    ("crossentropy", (3, 3, 2, 2, 0, 0, 0, 0, 0, 0), None),
    ("crossentropy", (6, 2, 2, 0, 0, 0, 0, 0, 0, 0), [0.6, 0.2, 0.2]),
    # Unknown ends the taking; what was taken before it is half.
    ("crossentropy", (5, 0, 0, 0, 0, 0, 0, 0, 5, 0), None),
    ("crossentropy", (6, 0, 0, 0, 0, 0, 0, 0, 4, 0), [1.0]),
    ("crossentropy", (4, 0, 0, 0, 0, 0, 0, 0, 6, 0), None),
    ("multi_target", (5, 5, 0, 0, 0, 0, 0, 0, 0, 0), [1, 1]),
    ("multi_target", (4, 2, 2, 2, 0, 0, 0, 0, 0, 0), None),
]


@pytest.mark.parametrize("mode, votes, expected", CASES)
def test_a_mode_makes_of_votes_what_its_authors_say(mode, votes, expected):
    found = label(np.array([votes]), mode)
    assert found.kept.tolist() == [expected is not None]
    if expected is not None:
        width = 10 if mode == "full" else 8
        expected = np.pad(np.array(expected, float), (0, width - len(expected)))
        if mode == "multi_target":
            expected = 0.999 * expected + 0.001
        np.testing.assert_allclose(found.targets, [expected], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_labels_are_distributions_whatever_the_votes(mode):
    votes = np.random.default_rng(0).multinomial(10, [0.1] * 10, 400)
    votes[0] = 0
    labels = label(votes, mode)
    assert len(labels.targets) == labels.kept.sum() and not labels.kept[0]
    assert labels.targets.min() >= 0 and labels.targets.max() <= 1
    if mode != "multi_target":
        np.testing.assert_allclose(labels.targets.sum(axis=1), 1, rtol=1e-6)
    # Each row's labels follow from its own votes.
    order = np.random.default_rng(1).permutation(len(votes))
    again = label(votes[order], mode)
    np.testing.assert_array_equal(again.kept, labels.kept[order])


def test_an_unknown_mode_is_refused_with_those_there_are():
    with pytest.raises(SpecError, match="expected one of cntk, clean, full, majority"):
        label(np.ones((1, 10), int), "average")


# Barsoum et al.'s and Albanie et al.'s programs, run on the published votes.
COUNTS = {
    "cntk": (26_196, 3_318, 3_294),
    "clean": (28_389, 3_553, 3_546),
    "majority": (25_060, 3_199, 3_153),
    "probability": (27_956, 3_505, 3_505),
    "crossentropy": (27_956, 3_505, 3_505),
    "multi_target": (27_671, 3_472, 3_472),
    "full": (28_709, 3_589, 3_589),
}
CNTK_CLASSES = (
    (9500, 7378, 3303, 3095, 2146, 123, 532, 119),
    (1256, 880, 427, 360, 293, 27, 62, 13),
    (1175, 908, 413, 399, 282, 18, 83, 16),
)


@pytest.mark.parametrize("mode, counts", COUNTS.items())
def test_the_published_votes_give_the_published_counts(corpora_dir, mode, counts):
    table = pd.read_csv(corpora_dir / "ferplus" / "fer2013new.csv")
    labels = label(table[list(FERPLUS_VOTES.labels)].to_numpy(), mode)
    for number, usage in enumerate(USAGES):
        chosen = (table["Usage"] == usage).to_numpy()
        assert (labels.kept & chosen).sum() == counts[number]
        if mode == "cntk":
            classes = labels.classes[chosen[labels.kept]]
            assert tuple(np.bincount(classes)) == CNTK_CLASSES[number]


def test_the_real_corpus_has_the_faces_and_repetitions_that_are_known(real):
    sizes = {split: int((real.split == split).sum()) for split in SPLITS}
    assert sizes == {"train": 28_561, "valid": 3_579, "test": 3_574}
    assert real.report["left_out"].sum() == 173
    assert (real.report["reason"] == "9 votes, expected 10").sum() == 1
    repeated = find_repeated(real)
    groups = repeated.groupby(["kind", "group"])[["across", "same_votes"]].first()
    assert groups.loc["image"].shape[0] == 1_517
    assert groups.loc["image"]["across"].sum() == 556
    assert groups.loc["name"].shape[0] == 4
    assert (~groups.loc["name"]["same_votes"]).sum() == 1


def test_both_layouts_hold_the_same_corpus(drawn, tmp_path):
    as_table(drawn, tmp_path / "table")
    pictures, table = read_ferplus(drawn), read_ferplus(tmp_path / "table")
    for name in ("images", "votes", "split", "names"):
        np.testing.assert_array_equal(getattr(pictures, name), getattr(table, name))
    pd.testing.assert_frame_equal(pictures.report, table.report)
    assert table.report["reason"].tolist() == ["no image name, so no image"]


def test_deduplication_leaves_each_image_in_the_last_split_that_has_it(drawn):
    corpus = read_ferplus(drawn)
    repeated = find_repeated(corpus)
    assert repeated["across"].all() and len(repeated) == 2
    kept = without_repeated(corpus)
    (lost,) = np.flatnonzero(~kept)
    assert corpus.split[lost] == "train" and lost in set(repeated["number"])
    (seen,) = np.flatnonzero(seen_before(corpus))
    assert corpus.split[seen] == "test" and seen in set(repeated["number"])
    rest = corpus.only(kept)
    assert find_repeated(rest).empty and not seen_before(rest).any()


def spoil(folder, kind):
    path = sorted((folder / "FER2013Train").iterdir())[7]
    if kind == "small":
        Image.new("L", (32, 48)).save(path)
    elif kind == "colour":
        Image.new("RGB", (48, 48), (9, 99, 9)).save(path)
    elif kind == "deep":
        Image.fromarray(np.zeros((48, 48), np.uint16)).save(path)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "text":
        path.write_text("not an image")
    else:
        path.unlink()
    return path.name


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("small", "image of 32 x 48 pixels, expected 48 x 48"),
        ("colour", "image in colour, expected grey"),
        ("deep", "image of mode I;16, expected 8 bits grey"),
        ("cut", "image cannot be read"),
        ("text", "image cannot be read"),
        ("gone", "no such image"),
    ],
)
def test_an_image_that_cannot_serve_is_a_row_of_the_report(faces, kind, reason):
    before = read_ferplus(faces)
    name = spoil(faces, kind)
    corpus = read_ferplus(faces)
    (row,) = corpus.report[corpus.report["name"] == name].itertuples()
    assert row.reason.startswith(reason) and row.left_out and row.split == "train"
    keep = before.names != name
    np.testing.assert_array_equal(corpus.images, before.images[keep])
    np.testing.assert_array_equal(corpus.votes, before.votes[keep])


def test_grey_images_in_other_modes_serve(faces):
    before = read_ferplus(faces)
    for path in sorted((faces / "FER2013Test").iterdir())[:5]:
        Image.open(path).convert("RGB").save(path)
    np.testing.assert_array_equal(read_ferplus(faces).images, before.images)


def test_votes_that_do_not_sum_are_told_and_none_at_all_are_left_out(faces):
    def change(table):
        table.loc[3, list(FERPLUS_VOTES.labels)] = ["0"] * 10
        table.loc[4, "neutral"] = str(int(table.loc[4, "neutral"]) + 3)
        return table

    rewrite(faces, change)
    report = read_ferplus(faces).report.set_index("row")
    assert report.loc[5, "reason"] == "no votes" and report.loc[5, "left_out"]
    assert report.loc[6, "reason"] == "13 votes, expected 10"
    assert not report.loc[6, "left_out"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.drop(columns="contempt"), "missing: contempt"),
        (lambda t: t.assign(Usage="Train"), "expected the usages .* found Train"),
        (lambda t: t.assign(fear="x"), "row 2: expected ten numbers of votes"),
        (lambda t: t.assign(fear="-1"), "row 2: expected ten numbers of votes"),
        (lambda t: t[:0], "there are none"),
        (lambda t: t.assign(**{"Image name": "a.png"}), "cannot be used, the first in"),
    ],
)
def test_damaged_votes_are_refused(faces, change, message):
    rewrite(faces, change)
    with pytest.raises(DataError, match=message):
        read_ferplus(faces)


def test_folders_without_faces_or_votes_say_what_belongs_there(faces, tmp_path):
    with pytest.raises(DataError, match="microsoft/FERPlus"):
        read_ferplus(tmp_path)
    for _, name in USAGES.values():
        shutil.rmtree(faces / name)
    with pytest.raises(DataError, match=r"expected the faces in fer2013\.csv or in"):
        read_ferplus(faces)


@pytest.mark.parametrize(
    "pixels, message",
    [
        ("1 2 3", "3 pixels, expected 48 x 48 = 2304"),
        (" ".join(["256"] * 2304), "pixels outside 0 to 255"),
        (" ".join(["a"] * 2304), "pixels are not integers"),
    ],
)
def test_damaged_pixels_are_rows_of_the_report(drawn, tmp_path, pixels, message):
    folder = tmp_path / "table"
    as_table(drawn, folder)
    table = pd.read_csv(folder / "fer2013.csv", dtype=object)
    table.loc[9, "pixels"] = pixels
    table.to_csv(folder / "fer2013.csv", index=False)
    report = read_ferplus(folder).report.set_index("row")
    assert report.loc[11, "reason"] == message


def test_tables_that_do_not_belong_together_are_refused(drawn, tmp_path):
    folder = tmp_path / "table"
    as_table(drawn, folder)
    table = pd.read_csv(folder / "fer2013.csv", dtype=object)
    table[:-1].to_csv(folder / "fer2013.csv", index=False)
    with pytest.raises(DataError, match=r"its rows \(752\) must be those"):
        read_ferplus(folder)
    table[::-1].to_csv(folder / "fer2013.csv", index=False)
    with pytest.raises(DataError, match="same usage in each"):
        read_ferplus(folder)


def test_an_interrupted_miniature_is_completed(tmp_path, drawn):
    folder = tmp_path / "cut"
    shutil.copytree(drawn, folder)
    (folder / "fer2013new.csv").unlink()
    assert write_ferplus(folder) and not write_ferplus(folder)
    one, other = read_ferplus(folder), read_ferplus(drawn)
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.votes, other.votes)
