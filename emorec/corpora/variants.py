"""The CMU-MOSEIs that are about: releases, splits and feature sets that differ.

Scores on different variants cannot be compared, so folders are told apart by counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from emorec.corpora import mosei
from emorec.corpora.folds import FOLDS

SEGMENTS, VIDEOS = 23_259, 3_293


class Variant(NamedTuple):
    """Segments per fold, as somebody counted them."""

    train: int
    valid: int
    test: int
    what: str


# The first is what the SDK gives today. Issues are those of A2Zadeh/CMU-MultimodalSDK.
VARIANTS = (
    Variant(16_327, 1_871, 4_662, "the SDK's labels and standard folds, complete"),
    Variant(16_331, 1_871, 4_662, "an earlier label file of the SDK (issue 98)"),
    Variant(16_326, 1_871, 4_659, "MMSA's aligned_50.pkl and unaligned_50.pkl"),
    Variant(15_290, 2_291, 4_832, "other folds (issue 98)"),
    Variant(8_273, 1_071, 2_531, "left after an alignment that drops (issue 166)"),
)
# Sequence -> columns -> what has so many; the first is what the SDK gives today.
WIDTHS = {
    mosei.TEXT: {300: "GloVe"},
    mosei.IMAGE["facet"]: {35: "FACET 4.2"},
    mosei.IMAGE["openface"]: {713: "OpenFace 2"},
    mosei.AUDIO: {74: "COVAREP", 43: "COVAREP of an earlier release (issues 12, 29)"},
    mosei.LABELS: {7: "sentiment and six emotions", 6: "six emotions, no sentiment"},
}


def compare_width(sequence: str, width: int) -> str | None:
    """Say how a width differs from the SDK's, None when it does not."""
    known = WIDTHS.get(sequence)
    if known is None or width == next(iter(known)):
        return None
    usual = f"the SDK's has {next(iter(known))}"
    return f"{width} columns: {known.get(width, 'no known variant')}; {usual}"


def compare_labels(segments: int, videos: int) -> str | None:
    """Say how a label file differs from the SDK's, None when it does not."""
    if (segments, videos) == (SEGMENTS, VIDEOS):
        return None
    return (
        f"{segments:,} labelled segments of {videos:,} videos: "
        f"{segments - SEGMENTS:+,} segments, {videos - VIDEOS:+,} videos against the "
        f"SDK's {SEGMENTS:,} of {VIDEOS:,}"
    )


def compare_folds(counts: Mapping[str, int]) -> str:
    """Name the variant that has these segments per fold, or the nearest one."""

    def distance(variant: Variant) -> int:
        return sum(abs(counts[fold] - getattr(variant, fold)) for fold in FOLDS)

    nearest = min(VARIANTS, key=distance)
    if not distance(nearest):
        return f"that is {nearest.what}"
    differences = [
        f"{fold} {counts[fold] - getattr(nearest, fold):+,}" for fold in FOLDS
    ]
    sizes = "/".join(f"{getattr(nearest, fold):,}" for fold in FOLDS)
    return (
        f"no known variant; nearest is {sizes} ({nearest.what}): "
        f"{', '.join(differences)}"
    )
