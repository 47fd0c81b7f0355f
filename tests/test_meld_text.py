"""Classifiers on the words of MELD, and the whole command."""

import numpy as np
import pytest

from emorec.artifacts.predictions import read_predictions
from emorec.corpora.meld import read_meld
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.training import meld_classifiers as classifiers
from emorec.training import meld_neighbours, meld_tfidf
from emorec.training.meld_config import text_config
from emorec.training.meld_data import TextData
from emorec.training.meld_text import run
from tests.meld_dialogues import quiet, shuffled_embeddings, write_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("meld"))


@pytest.fixture(scope="module")
def corpus(folder):
    return read_meld(folder)


def test_tfidf_is_fitted_on_train_alone(corpus):
    learnt = TextData.of(corpus).learnt
    changed = list(corpus.utterances)
    for row in np.flatnonzero(~learnt):
        changed[row] = "unheard unheard words words"
    for mine, theirs in zip(
        meld_tfidf.tfidf_blocks(corpus.utterances, None, learnt).matrices,
        meld_tfidf.tfidf_blocks(changed, None, learnt).matrices,
        strict=True,
    ):
        assert mine.shape == theirs.shape
        assert abs(mine[learnt] - theirs[learnt]).max() == 0


def test_permuted_classes_permute_the_scores(corpus):
    data = TextData.of(corpus)
    blocks = meld_tfidf.tfidf_blocks(corpus.utterances, None, data.learnt).matrices
    order = np.random.default_rng(0).permutation(7)
    dev = data.split("dev")
    scores = [
        meld_tfidf.classify_tfidf(blocks, classes, data.learnt, dev, 7).scores
        for classes in (corpus.classes, order[corpus.classes])
    ]
    np.testing.assert_allclose(scores[0], scores[1][:, order], atol=1e-3)


def test_out_of_fold_scores_come_from_models_that_did_not_learn_the_dialogue():
    dialogues = np.repeat([f"d{n}" for n in range(12)], 3)
    learnt = np.arange(36) < 30
    fold = meld_neighbours.dialogue_folds(dialogues, learnt, 0)

    def fit(taught):
        return np.isin(dialogues, dialogues[taught])[:, None].astype(float)

    scores = meld_neighbours.out_of_fold(np.full((36, 1), 0.5), fit, fold, learnt)
    assert (scores[learnt] == 0).all() and (scores[~learnt] == 0.5).all()


def test_adjusting_helps_on_dev_and_never_looks_at_test():
    random = np.random.default_rng(0)
    classes, prior = random.choice(3, 90, p=[0.8, 0.1, 0.1]), np.array([0.8, 0.1, 0.1])
    scores = 0.7 * prior + 0.3 * np.eye(3)[classes]
    dev = np.arange(90) < 45
    found, tau = classifiers.adjust(scores, prior, classes, dev)
    others = np.where(dev, classes, 0)
    np.testing.assert_array_equal(
        found, classifiers.adjust(scores, prior, others, dev)[0]
    )
    assert tau > 0
    np.testing.assert_allclose(found.sum(1), 1)
    before, after = (
        classifiers.weighted_f1(classes[dev], s[dev]) for s in (scores, found)
    )
    assert after > before


def test_causal_neighbours_do_not_see_later_utterances():
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(3), 5)
    changed = scores.copy()
    changed[3:] = random.dirichlet(np.ones(3), 2)
    place = (np.array(list("aaaaa")), np.arange(5), np.array(list("xyxyx")))
    both = [
        meld_neighbours.neighbour_features(s, *place, 2, causal)
        for causal in (True, False)
        for s in (scores, changed)
    ]
    np.testing.assert_array_equal(both[0][:3], both[1][:3])
    assert not np.array_equal(both[2][:3], both[3][:3])


@pytest.mark.parametrize("classifier", ["svm", "boosting"])
def test_classifiers_learn_what_embeddings_tell(
    corpus, tmp_path, classifier, monkeypatch
):
    monkeypatch.setattr(classifiers, "_ROUNDS", 20)
    path = shuffled_embeddings(corpus, tmp_path / "e.npz")
    config = text_config(
        "embeddings", {"embeddings": str(path), "classifier": classifier}
    )
    table = run(config, corpus, tmp_path, quiet)
    assert (tmp_path / f"card_{config.name}.md").is_file()
    model = table[table["predictor"] == "model"]
    constant = table[table["predictor"] == "constant"]
    gain = model["weighted_f1"].to_numpy() - constant["weighted_f1"].to_numpy()
    assert (gain > 0.3).all()


def test_xgboost_names_its_extra():
    if classifiers.find_spec("xgboost"):
        pytest.skip("XGBoost is installed")
    with pytest.raises(MissingExtraError, match="xgboost"):
        classifiers.classify_embeddings(
            np.ones((2, 2)), np.arange(2), *2 * [np.ones(2, bool)], 7, "xgboost"
        )


def test_empty_utterances_are_reported_and_answered_by_the_shares(tmp_path):
    empty = ("train/dia0_utt0", "dev/dia1_utt2")
    corpus = read_meld(write_corpus(tmp_path / "meld", empty=empty))
    said = []
    config = text_config("tfidf", {"neighbours": 1})
    run(config, corpus, tmp_path, said.append)
    found = read_predictions(tmp_path / f"predictions_dev_{config.name}.npz")
    data = TextData.of(corpus)
    scores = found.scores[found.ids.index(empty[1])]
    np.testing.assert_allclose(scores, data.prior)
    assert not data.learnt[corpus.ids.index(empty[0])]
    report = (tmp_path / f"text_report_{config.name}.csv").read_text()
    assert all(name in report for name in empty)


def test_an_unknown_emotion_is_refused(tmp_path):
    folder = write_corpus(tmp_path)
    path = folder / "dev_sent_emo.csv"
    path.write_text(path.read_text().replace(",neutral,neutral", ",bored,neutral", 1))
    with pytest.raises(DataError, match="bored"):
        read_meld(folder)


def test_fewer_neutral_utterances_teach(corpus):
    everything, fewer = (TextData.of(corpus, how) for how in ("all", "ordered"))
    neutral = corpus.schema.index("neutral")
    gone = everything.learnt & ~fewer.learnt
    assert gone.any() and (corpus.classes[gone] == neutral).all()
    assert everything.identity() != fewer.identity()


def test_options_of_other_models_are_refused():
    with pytest.raises(
        SpecError, match="--units with --model tfidf: the option is for --model glove"
    ):
        text_config("tfidf", {"units": 3})
    with pytest.raises(SpecError, match="needs --embeddings"):
        text_config("embeddings", {})


def test_the_options_and_the_settings_have_the_same_names():
    from dataclasses import fields

    from emorec.cli import meld_text
    from emorec.training import meld_config

    options = {*meld_text._OPTIONS, *meld_text._SWITCHES, "model"}
    assert options == {field.name for field in fields(meld_config.TextConfig)}
    assert meld_text.MODELS == meld_config.MODELS


def test_the_command_runs(folder, tmp_path, command, corpus):
    path = shuffled_embeddings(corpus, tmp_path / "e.npz")

    def main(words):
        from emorec.cli import meld_text
        from emorec.cli.console import Parser, guarded

        parser = Parser()
        meld_text.add_command(parser.add_subparsers(required=True))
        parsed = parser.parse_args(words)
        return guarded(lambda: parsed.run(parsed))

    options = ["--model", "embeddings", "--embeddings", path, "--context", "1"]
    done = command(main, "text", folder, *options, "--output", tmp_path)
    assert done.code == 0, done.err
    assert (
        tmp_path / "predictions_test_text_embeddings_logistic_context-1.npz"
    ).is_file()
