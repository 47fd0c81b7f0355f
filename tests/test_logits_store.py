"""The teacher's scores from a store serve as those of logits.npz do."""

import shutil

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.logits import (
    ARRAYS,
    Logits,
    find_logits,
    read_logits,
    write_logits,
)
from emorec.artifacts.shards import Entry
from emorec.cli.app import main
from emorec.corpora.voxceleb import read_voxceleb
from emorec.errors import DataError, LabelMismatchError, SpecError
from emorec.labels import FERPLUS, HSEMOTION8
from emorec.training.voice_data import join
from tests.small_stores import toys, write_store

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")

VOICES = {"a/x/00001": 1, "a/x/00002": 1, "b/z/00001": 3, "c/w/00001": 2}
LABELLED = ["c/1.6/w/00001", "b/z/00001.mp4", "a/1.6/x/00002", "a/x/00001", "o/o/00001"]


def scores(ids, schema=FERPLUS):
    random = np.random.default_rng(0)
    counts = [3 + n % 4 for n in range(len(ids))]
    rows = sum(counts)
    return Logits(
        schema,
        list(ids),
        np.cumsum([0, *counts], dtype=np.int64),
        times=np.concatenate([np.arange(n) * 0.24 for n in counts]),
        logits=random.normal(size=(rows, len(schema))).astype(np.float32),
        boxes=random.normal(size=(rows, 4)).astype(np.float32),
        tracks=np.zeros(rows, np.int32),
        settings={"network": "t 1", "size": 64, "every": 6},
    )


def to_store(root, labelled, scratch, **other):
    """Write scores as a store of the kind teacher; one more clip failed."""
    entries = []
    for number, name in enumerate(labelled.ids):
        part = slice(*labelled.offsets[number : number + 2])
        arrays = {array: getattr(labelled, array)[part] for array in ARRAYS}
        entries.append(Entry(name, (1, 2), arrays, {}))
    entries.insert(1, Entry("a/x/00009", (1, 2), {}, {"": "no face in 9 frames."}))
    own = {"kind": "teacher", "schema": labelled.schema.to_dict(), **labelled.settings}
    write_store(root, entries, own | other, size=2, scratch=scratch)
    return root


def equal(one, other):
    assert (one.ids, one.schema) == (other.ids, other.schema)
    for name in ("offsets", *ARRAYS):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype and np.array_equal(left, right)


@pytest.fixture
def corpus(tmp_path):
    random = np.random.default_rng(0)
    for name in VOICES:
        path = tmp_path / "corpus" / "wav" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.normal(0, 0.1, 19_200), 16_000)
    lines = [f"{number} {name}.wav" for name, number in VOICES.items()]
    (tmp_path / "corpus/emovoxceleb_split.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "corpus"


def test_a_store_reads_as_the_file_does(tmp_path):
    labelled = scores(LABELLED)
    write_logits(tmp_path / "logits.npz", labelled)
    store = to_store(tmp_path / "store", labelled, tmp_path)
    found = read_logits(store)
    equal(found, read_logits(tmp_path / "logits.npz"))
    equal(found, labelled)
    assert labelled.settings.items() <= found.settings.items()


def test_training_data_of_a_store_equal_those_of_the_file(corpus, tmp_path):
    voices, labelled = read_voxceleb(corpus), scores(LABELLED)
    write_logits(tmp_path / "one" / "logits.npz", labelled)
    to_store(tmp_path / "deep" / "er" / "store", labelled, tmp_path)
    expected = join(voices, [tmp_path / "one"], "test")
    places = [str(tmp_path / "deep/er/store"), tmp_path / "deep"]
    with pytest.MonkeyPatch.context() as patch:
        if fsspec := _fsspec():
            patch.setenv("EMOREC_CACHE", str(tmp_path / "cache"))
            fsspec.filesystem("memory").store.clear()
            places.append(to_store("memory://bucket/teacher", labelled, tmp_path))
        for place in places:
            data = join(voices, [place], "test")
            assert data.voices.ids == expected.voices.ids and len(data) == 4
            assert data.identity() == expected.identity()
            assert data.teacher == expected.teacher == "t 1"
            for name in ("offsets", "logits", "numbers"):
                left, right = getattr(data, name), getattr(expected, name)
                np.testing.assert_array_equal(left, right)
            pd.testing.assert_frame_equal(data.voices.report, expected.voices.report)


def _fsspec():
    try:
        import fsspec
    except ImportError:  # then the addresses are left out
        return None
    return fsspec


def test_files_and_stores_are_found_together(tmp_path):
    one = to_store(tmp_path / "in/one", scores(LABELLED[:2]), tmp_path)
    # A store of another kind, and a folder of another program, are not meant.
    write_store(tmp_path / "in/toy", toys(), scratch=tmp_path)
    (tmp_path / "in/other").mkdir()
    shutil.copy(one / "plan.csv", tmp_path / "in/other")
    write_logits(tmp_path / "in/two/logits.npz", scores(LABELLED[2:]))
    both = [one, tmp_path / "in/two/logits.npz"]
    assert find_logits([tmp_path / "in"]) == both
    assert find_logits([*both, str(one)]) == both
    assert find_logits(["s3://b/x"]) == ["s3://b/x"]
    for nothing in ("in/toy/shards", "in/other"):
        with pytest.raises(
            DataError, match=r"no logits\.npz; .* emorec extract teacher"
        ):
            find_logits([tmp_path / nothing])
    with pytest.raises(DataError, match="No logits of a teacher"):
        find_logits([])


def test_stores_that_do_not_serve_are_refused(corpus, tmp_path):
    voices = read_voxceleb(corpus)
    other = to_store(tmp_path / "other", scores(LABELLED, HSEMOTION8), tmp_path)
    with pytest.raises(LabelMismatchError, match="Contempt"):
        join(voices, [other], "test")
    toy = write_store(tmp_path / "toy", toys(), scratch=tmp_path).root
    with pytest.raises(
        SpecError, match=r"toy: expected a store of kind teacher, found"
    ):
        join(voices, [toy], "test")
    write_store(toy, toys(), {"kind": "teacher"}, scratch=tmp_path)
    with pytest.raises(DataError, match="name no label schema"):
        join(voices, [toy], "test")
    schema = FERPLUS.to_dict()
    write_store(toy, toys(), {"kind": "teacher", "schema": schema}, scratch=tmp_path)
    with pytest.raises(DataError, match="toy00: has no array logits, boxes, tracks"):
        join(voices, [toy], "test")
    twice = to_store(tmp_path / "twice", scores(LABELLED), tmp_path)
    with pytest.raises(DataError, match=r"c/w/00001 is in .*other2, too"):
        join(voices, [shutil.copytree(twice, tmp_path / "other2"), twice], "test")


def test_the_command_tells_a_store_of_another_kind(corpus, command, tmp_path):
    toy = write_store(tmp_path / "toy", toys(), scratch=tmp_path).root
    result = command(main, "voices", "distill", corpus, "--logits", toy)
    assert (
        result.code == 1 and "expected a store of kind teacher, found toy" in result.err
    )


def test_faces_of_a_store_are_probed_as_those_of_the_file(
    command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    takes = [
        f"-01-{e:02d}-01-01-{r:02d}-{a:02d}"
        for a in range(1, 4)
        for e in (3, 5)
        for r in (1, 2)
    ]
    random = np.random.default_rng(0)
    for take in takes:
        path = tmp_path / "acted" / f"Actor_{take[-2:]}" / f"03{take}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.normal(0, 0.1, 19_200), 16_000)
    labelled = scores([f"Actor_{take[-2:]}/01{take}.mp4" for take in takes])
    write_logits(tmp_path / "logits.npz", labelled)
    to_store(tmp_path / "store", labelled, tmp_path)
    tables = {}
    for faces in ("logits.npz", "store"):
        options = ("--features", "random", "--faces", faces, "--output", f"of_{faces}")
        options += ("--protocol", "literal")
        result = command(main, "voices", "benchmark", "acted", *options)
        assert result.code == 0, result.err
        tables[faces] = pd.read_csv(f"of_{faces}/benchmark_ravdess.csv")
    assert "faces (max)" in set(tables["store"].features)
    pd.testing.assert_frame_equal(*tables.values())
