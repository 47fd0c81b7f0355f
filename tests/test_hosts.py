"""One network that several processes train: what one process alone would train."""

import io
import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from emorec.corpora.fer_miniature import write_ferplus
from emorec.training import hosts
from tests.host_processes import KILLED, TWO_DEVICES, run
from tests.small_speech import small_clips, small_voxceleb

# Sums over a batch are taken in another order: rounding, which training makes grow.
TOLERANCE = 1e-4
# What the trainings leave, by their names.
WORDS = Path("models/mine/PART_l_1_n_4_d_0.2_b_32_s_10")
VOICES = Path("models/voices/PART_n")


def mosei(miniature, *options):
    words = ["mosei train -df", miniature, "-pf pickles -mf models -mn mine -m A"]
    return [*words, "-n 4 -s 10 -b 32 -scm false -e 3", *options]


def voices(talkers, *options):
    words = ["voices distill", talkers, "--preset compact --num_seconds 1 --name n"]
    more = "--batch_size 8 --num_epochs 3 --bands 1 --speed 0.1"
    return [*words, more, "--partitions unheardVal", *options]


def done(folder, *commands, **how):
    """Run commands that have to succeed."""
    folder.mkdir(exist_ok=True)
    ended = run(folder, *commands, **how)
    assert not any(process.code for process in ended), [p.err for p in ended]
    return ended


def file_of(folder, name, part, ending):
    return folder / name.parent / f"{name.name.replace('PART', part)}{ending}"


def record_of(folder, name):
    return json.loads(file_of(folder, name, "run", ".json").read_text())


def alike(received, expected, name=WORDS):
    histories = [
        pd.read_csv(file_of(folder, name, "history", ".csv"))
        for folder in (received, expected)
    ]
    pd.testing.assert_frame_equal(*histories, rtol=TOLERANCE, check_exact=False)
    saved = [
        weights(file_of(folder, name, "model", ".keras"))
        for folder in (received, expected)
    ]
    assert saved[0] and saved[0].keys() == saved[1].keys()
    for name, values in saved[0].items():
        np.testing.assert_allclose(values, saved[1][name], atol=TOLERANCE)


def weights(path):
    """Return the weights in a .keras file by their places in it."""
    found = {}

    def keep(name, value):
        if isinstance(value, h5py.Dataset):
            found[name] = value[()]

    with (
        zipfile.ZipFile(path) as whole,
        h5py.File(io.BytesIO(whole.read("model.weights.h5"))) as file,
    ):
        file.visititems(keep)
    return found


@pytest.fixture(scope="module")
def talkers(tmp_path_factory):
    return small_voxceleb(tmp_path_factory.mktemp("talkers"))


def trained_by_two(folder, words):
    """Train in two processes, and in `folder`/alone in one on one device."""
    return done(folder, words, hosts=2, flags=TWO_DEVICES, alone=[words])


@pytest.fixture(scope="module")
def two(miniature, tmp_path_factory):
    """The folder in which two processes trained, and what they said."""
    folder = tmp_path_factory.mktemp("two")
    return folder, trained_by_two(folder, mosei(miniature))


@pytest.fixture(scope="module")
def two_hear(talkers, tmp_path_factory):
    """The same of a speech network."""
    folder = tmp_path_factory.mktemp("two")
    return folder, trained_by_two(folder, voices(talkers))


@pytest.fixture(scope="module")
def alone(two):
    return two[0] / "alone"


@pytest.fixture(scope="module")
def alone_hears(two_hear):
    return two_hear[0] / "alone"


def test_two_processes_train_what_one_trains(two, alone):
    # A batch that four devices cannot divide, too.
    assert record_of(alone, WORDS)["segments"]["train"] % 32 % 4
    alike(two[0], alone)


def check_who_writes_and_speaks(folder, said, name):
    leader, follower = said
    assert "2 hosts train together" in leader.out
    assert "Written:" in leader.out
    assert not [line for line in follower.out.splitlines() if "[Gloo]" not in line]
    both = folder, folder / "alone"
    records = [record_of(one, name) for one in both]
    assert [record["training"]["hosts"] for record in records] == [2, 1]
    assert records[0]["settings"] == records[1]["settings"]
    files = [{path.name for path in (one / name.parent).iterdir()} for one in both]
    assert files[0] == files[1]


def test_the_first_process_alone_writes_and_speaks(two):
    check_who_writes_and_speaks(*two, WORDS)


@pytest.mark.slow
def test_two_processes_hear_what_one_hears(two_hear, alone_hears):
    alike(two_hear[0], alone_hears, VOICES)
    check_who_writes_and_speaks(*two_hear, VOICES)


@pytest.mark.slow
def test_two_devices_of_one_process_train_what_one_trains(
    miniature, talkers, alone, alone_hears, tmp_path
):
    commands = [mosei(miniature), voices(talkers)]
    done(tmp_path, *[[*words, "--gpus 2"] for words in commands], flags=TWO_DEVICES)
    alike(tmp_path, alone)
    alike(tmp_path, alone_hears, VOICES)


@pytest.mark.slow
@pytest.mark.parametrize("rank, name", [(0, WORDS), (1, VOICES)])
def test_when_one_process_dies_all_end_and_another_number_goes_on(
    miniature, talkers, alone, alone_hears, tmp_path, rank, name
):
    words = mosei(miniature) if name == WORDS else voices(talkers)
    began = time.monotonic()
    ended = run(tmp_path, words, hosts=2, script=KILLED, before=[str(rank)])
    assert ended[rank].code == -9
    other = ended[1 - rank]
    assert other.code not in (0, 3)
    assert "lost the others" in other.err or "another task died" in other.err
    # The limit of a lost connection, and the time of two epochs.
    assert time.monotonic() - began < hosts.LOST + 300
    (one,) = done(tmp_path, words)
    assert "Going on after epoch 2" in one.out
    alike(tmp_path, alone if name == WORDS else alone_hears, name)


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped(talkers, alone_hears, tmp_path):
    words = voices(talkers)
    (killed,) = run(tmp_path, words, script=KILLED, before=["0"])
    assert killed.code == -9
    leader, _ = done(tmp_path, words, hosts=2)
    assert "Going on after epoch 2" in leader.out
    alike(tmp_path, alone_hears, VOICES)


@pytest.mark.slow
def test_an_error_of_the_first_ends_the_second(miniature, tmp_path):
    # 30 segments are not divisible among four devices.
    words = mosei(miniature, "-b 30")
    ended = run(tmp_path, words, hosts=2, flags=TWO_DEVICES)
    assert all(process.code not in (0, 3) for process in ended)
    assert "Choose a multiple of 4" in ended[0].err
    assert not list(tmp_path.rglob("*.keras"))


@pytest.mark.slow
def test_a_sound_that_one_host_cannot_read_is_told_by_it(talkers, tmp_path):
    folder = shutil.copytree(talkers, tmp_path / "talkers")
    words = voices(folder, "--num_epochs 1")
    done(tmp_path / "index", [*words, "--name first"])
    # What sounds.csv remembers as whole.
    path = folder / "wav" / "id00000" / "video0" / "00001.wav"
    size, time_ns = path.stat().st_size, path.stat().st_mtime_ns
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(time_ns, time_ns))
    ended = run(tmp_path, words, hosts=2)
    assert all(process.code not in (0, 3) for process in ended)
    told = [process for process in ended if "00001.wav" in process.err]
    assert len(told) == 1 and told[0].code == 1
    assert not list(tmp_path.glob("models/**/*.keras"))


def same_losses(folder, words):
    """Train in two processes and in one; compare what the epochs tell."""
    done(folder, words, hosts=2, alone=[words])
    (path,) = (folder / "models").rglob("history_*.csv")
    both = path, folder / "alone" / path.relative_to(folder)
    pd.testing.assert_frame_equal(
        *map(pd.read_csv, both), rtol=TOLERANCE, check_exact=False
    )


@pytest.mark.slow
def test_faces_are_learnt_on_two_processes_as_on_one(tmp_path):
    faces = tmp_path / "faces"
    write_ferplus(faces)
    votes = faces / "fer2013new.csv"
    pd.read_csv(votes).iloc[1::5].to_csv(votes, index=False)
    # At a low rate, for at a high one rounding soon grows into other weights.
    options = "--num_epochs 2 --batch_size 32 --learning_rate 1e-4 --ema 0.9"
    same_losses(tmp_path / "two", ["faces train", faces, options])


@pytest.mark.slow
def test_clips_are_seen_and_heard_on_two_processes_as_on_one(tmp_path):
    table = small_clips(tmp_path / "clips")
    options = "--labels low,high --n_epochs 2 --lr_steps 1"
    same_losses(tmp_path / "two", ["ravdess train", table, options])
