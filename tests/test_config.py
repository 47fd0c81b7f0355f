"""The settings of the main job: defaults, what is refused, what identifies a model."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from emorec.errors import SpecError
from emorec.labels import MOSEI, MOSEI_NEUTRAL
from emorec.training import objectives
from emorec.training.config import MoseiConfig, parse_modalities


@pytest.mark.parametrize(
    "text, letters",
    [
        *[("all", "TVA"), ("All", "TVA"), ("TVA", "TVA"), ("avt", "TVA")],
        *[("AV", "VA"), ("va", "VA"), ("AT", "TA"), ("VT", "TV")],
        *[("A", "A"), ("v", "V"), ("T", "T")],
    ],
)
def test_modalities_come_in_the_order_of_fusion(text, letters):
    assert parse_modalities(text) == letters


@pytest.mark.parametrize("text", ["", "X", "TT", "TVAX", "text", "A V", "A,V", "alls"])
def test_other_modalities_are_refused(text):
    with pytest.raises(SpecError, match=rf"--modalities {text}: expected all, AV"):
        parse_modalities(text)


def test_defaults_are_the_published_ones():
    config = MoseiConfig().resolve()
    expected = {
        "align_to_text": True,
        "append_label_to_data": True,
        "image_feature": "facet",
        "batch_size": 32,
        "fixed_num_steps": 45,
        "num_layers": 1,
        "num_nodes": 100,
        "dropout_rate": 0.2,
        "final_activ": "linear",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "loss_function": "mean_absolute_error",
        "val_metric": "loss",
        "round_decimals": 3,
        "missing": "drop",
        "modalities": "TVA",
        "label_type": "all",
        "predict_neutral_class": False,
        "with_custom_split": False,
    }
    assert {name: getattr(config, name) for name in expected} == expected


def test_resolving_again_changes_nothing():
    for label_type in objectives.LABEL_TYPES:
        config = MoseiConfig(label_type=label_type, modalities="AT").resolve()
        assert config.resolve() == config


@pytest.mark.parametrize("label_type", ["present", "dominant"])
def test_classes_are_learnt_as_probabilities_by_default(label_type):
    config = MoseiConfig(label_type=label_type).resolve()
    assert (config.final_activ, config.loss_function) == (
        "sigmoid",
        "binary_crossentropy",
    )


CHOICES = {
    "image_feature": "densenet",
    "missing": "guess",
    "normalise": "minmax",
    "label_type": "some",
    "final_activ": "softmax",
    "optimizer": "lion",
    "loss_function": "mae",
    "val_metric": "f1",
    "jit": "maybe",
    "precision": "float16",
    "num_layers": 4,
}
NUMBERS = {
    "batch_size": [0, -1],
    "num_nodes": [0],
    "num_epochs": [0],
    "patience": [0],
    "fixed_num_steps": [-1],
    "round_decimals": [-1],
    "seed": [-1],
    "gpus": [-1],
    "dropout_rate": [-0.1, 1.0, float("nan")],
    "learning_rate": [0.0, -1.0, float("nan")],
    "threshold_emo_present": [(), (-0.5,), (0.0, "valid", -1.0)],
}


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_is_refused_with_the_known_ones(name):
    default = getattr(MoseiConfig().resolve(), name)
    with pytest.raises(SpecError) as caught:
        MoseiConfig(**{name: CHOICES[name]}).resolve()
    message = str(caught.value)
    assert message.startswith(f"--{name} {CHOICES[name]}: expected one of ")
    assert str(default) in message


@pytest.mark.parametrize(
    "name, value", [(name, value) for name in NUMBERS for value in NUMBERS[name]]
)
def test_a_number_out_of_range_is_refused(name, value):
    with pytest.raises(SpecError, match=rf"--{name}.*expected"):
        MoseiConfig(**{name: value}).resolve()


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(SpecError, match="--threshold_emo_present"):
        MoseiConfig(threshold_emo_present=(float("nan"),)).resolve()


ILLEGAL = [
    {"append_label_to_data": False},
    {"align_to_text": False, "modalities": "all"},
    {"align_to_text": False, "modalities": "AV"},
    {"drop_facet_emotions": True, "image_feature": "openface"},
    {"with_custom_split": True, "folds": "mine.json"},
    {"predict_neutral_class": True, "label_type": "coarse"},
    {"label_type": "present", "loss_function": "mean_absolute_error"},
    {"label_type": "dominant", "loss_function": "huber"},
    {"label_type": "all", "loss_function": "binary_crossentropy"},
    {"label_type": "coarse", "loss_function": "binary_focal_crossentropy"},
    {"label_type": "present", "final_activ": "linear"},
    {"label_type": "dominant", "final_activ": "relu"},
    {"label_type": "all", "final_activ": "sigmoid"},
    {"label_type": "coarse", "final_activ": "tanh"},
]


@pytest.mark.parametrize("options", ILLEGAL, ids=str)
def test_an_illegal_combination_is_refused_by_the_names_of_its_flags(options):
    with pytest.raises(SpecError) as caught:
        MoseiConfig(**options).resolve()
    assert all(f"--{name}" in str(caught.value) for name in options)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"missing": "mask", "align_to_text": False, "modalities": "A"},
            "--missing mask with --align_to_text false",
        ),
        (
            {"drop_facet_emotions": True, "modalities": "AT"},
            "--drop_facet_emotions: only for .*the modality V",
        ),
        ({"gpus": 2, "batch_size": 33}, "--gpus 2: the batch of 33 cannot be divided"),
    ],
    ids=str,
)
def test_an_illegal_combination_is_refused_with_its_reason(options, message):
    with pytest.raises(SpecError, match=message):
        MoseiConfig(**options).resolve()


LEGAL = [
    {"align_to_text": False, "modalities": "A"},
    {"drop_facet_emotions": True, "modalities": "V"},
    {"missing": "mask", "modalities": "VA"},
    {"with_custom_split": True, "folds": "mmsdk"},
    {"predict_neutral_class": True, "label_type": "dominant"},
    {"gpus": 2, "batch_size": 32},
    {"fixed_num_steps": 0, "val_metric": "acc", "gpus": 1, "batch_size": 33},
    {"label_type": "coarse", "final_activ": "relu", "loss_function": "huber"},
    {"label_type": "present", "loss_function": "binary_focal_crossentropy"},
    {"threshold_emo_present": ("valid",), "dropout_rate": 0.0, "num_layers": 3},
]


@pytest.mark.parametrize("options", LEGAL, ids=str)
def test_a_combination_that_means_something_is_taken(options):
    config = MoseiConfig(**options).resolve()
    for name, value in options.items():
        assert getattr(config, name) == value


def test_the_labels_follow_from_the_neutral_class():
    assert MoseiConfig().schema == MOSEI
    assert MoseiConfig(predict_neutral_class=True).schema == MOSEI_NEUTRAL


@pytest.mark.parametrize(
    "options, name",
    [
        ({}, "l_1_n_100_d_0.2_b_32_s_45"),
        ({"num_layers": 2, "num_nodes": 128}, "l_2_n_128_d_0.2_b_32_s_45"),
        ({"dropout_rate": 0.0, "batch_size": 1}, "l_1_n_100_d_0_b_1_s_45"),
        ({"fixed_num_steps": 0}, "l_1_n_100_d_0.2_b_32_s_0"),
    ],
)
def test_a_run_is_named_by_five_parameters(options, name):
    assert MoseiConfig(**options).param_name == name


def test_the_first_number_among_the_thresholds_is_the_level_of_presence():
    limits = {(0.0, "valid"): 0, ("valid", 0.5, 1.0): 0.5, ("valid",): 0}
    for given, level in limits.items():
        assert MoseiConfig(threshold_emo_present=given).presence_level == level


# Where files lie, what is written, and how it looks; none of it changes a score.
SILENT = {
    *("dataset_folder", "pickle_name_dataset", "pickle_name_fold", "pickle_folder"),
    *("model_folder", "model_name", "csv_folder", "csv_name", "round_decimals"),
    *("save_predictions", "save_confusion_matrix", "display_fig", "h5"),
    *("no_train", "tensorboard", "overwrite"),
}


@pytest.mark.parametrize("name", [field.name for field in fields(MoseiConfig)])
def test_whatever_changes_the_scores_changes_the_identity(name):
    config = MoseiConfig()
    other = replace(config, **{name: "something else"})
    assert (other.identity() != config.identity()) == (name not in SILENT)


def test_the_identity_survives_the_way_through_json():
    identity = MoseiConfig().resolve().identity()
    assert json.loads(json.dumps(identity)) == identity


SCORES = np.array([[0, 0, 0, 0, 0, 0], [0.6, 0.4, 1.7, 0, 0, 0], [3, 0, 3, 0, 0.2, 0]])


@pytest.mark.parametrize(
    "label_type, expected",
    [
        ("all", SCORES),
        ("coarse", [[0] * 6, [1, 0, 2, 0, 0, 0], [3, 0, 3, 0, 0, 0]]),
        ("present", [[0] * 6, [1, 0, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0]]),
        ("dominant", [[0] * 6, [0, 0, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0]]),
    ],
)
def test_targets_are_the_view_that_is_learnt(label_type, expected):
    result = objectives.targets(SCORES, MOSEI, label_type, threshold=0.5)
    np.testing.assert_array_equal(result, np.float32(expected))
    assert result.dtype == np.float32


@pytest.mark.parametrize("label_type", ["all", "present", "dominant"])
def test_the_neutral_target_is_on_where_no_emotion_is(label_type):
    six = objectives.targets(SCORES, MOSEI, label_type, 0.0)
    seven = objectives.targets(SCORES, MOSEI_NEUTRAL, label_type, 0.0)
    np.testing.assert_array_equal(seven[:, :6], six)
    assert seven[:, 6].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "label_type, threshold, expected",
    [("all", 0.0, 0.5), ("all", 1.0, 0.75), ("present", 2.0, 0.75)],
)
def test_the_watched_accuracy_counts_presence_told_rightly(
    label_type, threshold, expected
):
    true = np.array([[0, 0, 1, 1]], "f4")
    predicted = np.array([[0.2, -1, 0.3, 0]] if threshold == 0 else [[0, 0.4, 0.3, 1]])
    accuracy = objectives.accuracy_metric(label_type, threshold)
    assert float(accuracy(true, predicted.astype("f4"))[0]) == expected
