import json
import re
from dataclasses import replace

import numpy as np
import pytest

from emorec.errors import LabelMismatchError, SpecError
from emorec.labels import (
    AFEW,
    EMODB,
    ENTERFACE,
    FER2013,
    FERPLUS,
    FERPLUS_VOTES,
    HSEMOTION7,
    HSEMOTION8,
    MELD,
    MELD_ALPHABETICAL,
    MELD_TEXT,
    MOSEI,
    MOSEI_ALL,
    MOSEI_ALPHABETICAL,
    MOSEI_NEUTRAL,
    RAVDESS,
    RML,
    SCHEMAS,
    SENTIMENT,
    LabelSchema,
    canonical,
    check_same,
    label_map,
)

# As the field's files and papers give them, column by column.
ORDERS = [
    (MOSEI, "happy sad anger surprise disgust fear"),
    (MOSEI_NEUTRAL, "happy sad anger surprise disgust fear neutral"),
    (MOSEI_ALL, "sentiment happy sad anger surprise disgust fear"),
    (MOSEI_ALPHABETICAL, "anger disgust fear happy sad surprise"),
    (SENTIMENT, "sentiment"),
    (FER2013, "angry disgust fear happy sad surprise neutral"),
    (FERPLUS, "neutral happiness surprise sadness anger disgust fear contempt"),
    (
        FERPLUS_VOTES,
        "neutral happiness surprise sadness anger disgust fear contempt unknown NF",
    ),
    (HSEMOTION8, "Anger Contempt Disgust Fear Happiness Neutral Sadness Surprise"),
    (HSEMOTION7, "Anger Disgust Fear Happiness Neutral Sadness Surprise"),
    (RAVDESS, "neutral calm happy sad angry fearful disgust surprised"),
    (EMODB, "anger boredom disgust fear happiness sadness neutral"),
    (RML, "angry disgust fear happy sad surprise"),
    (ENTERFACE, "angry disgust fear happy sad surprise"),
    (AFEW, "angry disgust fear happy sad surprise neutral"),
    (MELD, "neutral surprise fear sadness joy disgust anger"),
    (MELD_ALPHABETICAL, "anger disgust fear joy neutral sadness surprise"),
    (MELD_TEXT, "neutral joy surprise anger sadness disgust fear"),
]
every_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)


def single_columns(source, target):
    return [column for (column,) in label_map(source, target).columns]


@pytest.mark.parametrize("schema, order", ORDERS, ids=lambda value: str(value)[:24])
def test_orders_are_those_of_the_field(schema, order):
    assert schema.labels == tuple(order.split())


def test_every_schema_is_listed_under_its_name_and_has_a_written_order():
    assert {schema.name: schema for schema, _ in ORDERS} == SCHEMAS


def test_ranges_are_those_of_the_annotations():
    assert (MOSEI.low, MOSEI.high) == (0, 3)
    assert (SENTIMENT.low, SENTIMENT.high) == (-3, 3)
    assert (MOSEI_ALL.low, MOSEI_ALL.high) == (-3, 3)
    levels = (0, 0.16, 0.33, 0.5, 0.66, 1, 1.33, 1.66, 2, 2.33, 2.66, 3)
    assert MOSEI.levels == levels


def test_meld_text_columns_in_alphabetical_order():
    assert single_columns(MELD_TEXT, MELD_ALPHABETICAL) == [3, 5, 6, 1, 0, 4, 2]


def test_all_labels_lose_sentiment_and_keep_their_order():
    mapping = label_map(MOSEI_ALL, MOSEI)
    assert mapping.unmapped == ("sentiment",)
    scores = np.arange(14.0).reshape(2, 7)
    np.testing.assert_array_equal(mapping.apply(scores), scores[:, 1:])


def test_fer2013_takes_its_columns_of_ferplus_and_leaves_contempt():
    assert single_columns(FERPLUS, FER2013) == [4, 5, 6, 1, 3, 2, 0]
    assert label_map(FERPLUS, FER2013).unmapped == ("contempt",)


def test_ferplus_cannot_be_made_of_fer2013_for_want_of_contempt():
    mapping = label_map(FER2013, FERPLUS)
    assert mapping.unmapped == ()
    with pytest.raises(LabelMismatchError, match="no column for contempt of 'ferplus'"):
        mapping.apply(np.zeros((1, 7)))


@pytest.mark.parametrize(
    "one, other",
    [
        (MOSEI, MOSEI_ALPHABETICAL),
        (MELD, MELD_TEXT),
        (MELD, MELD_ALPHABETICAL),
        (FER2013, HSEMOTION7),
        (FERPLUS, HSEMOTION8),
        (MELD, FER2013),
    ],
    ids=lambda schema: schema.name,
)
def test_a_map_there_and_back_changes_nothing(one, other):
    scores = np.random.default_rng(0).random((4, 3, len(one)), np.float32)
    there = label_map(one, other).apply(scores)
    back = label_map(other, one).apply(there)
    assert not np.array_equal(there, scores)
    np.testing.assert_array_equal(back, scores)
    assert back.dtype == scores.dtype


@every_schema
def test_mapped_columns_mean_what_their_target_says(schema):
    for target in SCHEMAS.values():
        mapping = label_map(schema, target)
        for label, columns in zip(target.labels, mapping.columns, strict=True):
            meanings = {canonical(schema.labels[column]) for column in columns}
            assert meanings <= {canonical(label)}


def test_calm_becomes_neutral_only_when_asked_for():
    assert "calm" in label_map(RAVDESS, FERPLUS).unmapped
    asked = label_map(RAVDESS, FER2013, extra={"calm": "neutral"})
    assert asked.unmapped == ()
    scores = np.array([0.25, 0.5, 0, 0, 0, 0, 0, 0.25])
    assert asked.apply(scores)[FER2013.index("neutral")] == 0.75
    assert asked.apply(scores).sum() == scores.sum()


@pytest.mark.parametrize("extra", [{"bored": "neutral"}, {"calm": "bored"}])
def test_extra_names_must_be_labels(extra):
    with pytest.raises(LabelMismatchError, match="'bored' is not in schema"):
        label_map(RAVDESS, FER2013, extra)


def test_a_map_refuses_scores_of_another_width():
    with pytest.raises(LabelMismatchError, match=r"Expected 7 .*'meld'.*\(2, 6\)"):
        label_map(MELD, MELD_TEXT).apply(np.zeros((2, 6)))


@every_schema
def test_a_schema_agrees_with_itself(schema):
    check_same(schema, replace(schema, name="another name"), "here")


def test_the_permutation_of_the_error_gives_the_expected_order():
    with pytest.raises(LabelMismatchError) as caught:
        check_same(MELD, MELD_TEXT, "model.keras")
    message = str(caught.value)
    assert message.startswith("model.keras")
    assert "expected: " + ", ".join(MELD.labels) in message
    assert "received: " + ", ".join(MELD_TEXT.labels) in message
    order = json.loads(re.search(r"take columns (\[.*?\])", message).group(1))
    assert tuple(np.array(MELD_TEXT.labels)[order]) == MELD.labels


def test_other_labels_are_told_from_another_order():
    with pytest.raises(LabelMismatchError, match="label sets differ") as caught:
        check_same(FER2013, FERPLUS, "here")
    assert ", ".join(FER2013.labels) in str(caught.value)
    assert ", ".join(FERPLUS.labels) in str(caught.value)


@pytest.mark.parametrize("change", [{"kind": "multilabel"}, {"high": 1}, {"low": -1}])
def test_another_kind_or_range_is_a_mismatch(change):
    with pytest.raises(LabelMismatchError, match="kind or range differs"):
        check_same(MOSEI, replace(MOSEI, **change), "here")


@every_schema
def test_schemas_survive_json(schema):
    assert LabelSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


@every_schema
def test_index_finds_every_label_and_no_other(schema):
    columns = [schema.index(label) for label in schema.labels]
    assert columns == list(range(len(schema)))
    with pytest.raises(LabelMismatchError, match="'hunger'"):
        schema.index("hunger")


@pytest.mark.parametrize("labels", [(), ("sad", "happy", "sad")])
def test_schemas_need_distinct_labels(labels):
    with pytest.raises(SpecError, match="distinct"):
        LabelSchema("mine", labels, "single")


def test_schemas_need_a_known_kind():
    with pytest.raises(SpecError, match=r"kind must be one of .* received 'ordinal'"):
        LabelSchema("mine", ("sad",), "ordinal")


@pytest.mark.parametrize(
    "content",
    [
        {"name": "mine", "kind": "single"},
        {"name": "mine", "labels": ["sad"], "kind": "single", "colour": "blue"},
        {"name": "mine", "labels": 3, "kind": "single"},
        {"labels": ["sad"], "kind": "single"},
        ["sad"],
        None,
    ],
    ids=["no labels", "unknown key", "labels a number", "no name", "list", "null"],
)
def test_what_is_not_a_schema_is_refused(content):
    with pytest.raises(SpecError, match="Not a label schema"):
        LabelSchema.from_dict(content)
