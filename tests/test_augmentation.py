"""Augmentation and image batches: sampling, draws, equality between backends."""

import numpy as np
import pytest

from emorec.batches.augmentation import (
    GEOMETRIES,
    Augmentation,
    change_colours,
    draw_maps,
    mix,
    sample,
)
from emorec.batches.images import ImageInput, ImagePipeline
from emorec.errors import SpecError
from tests.harness import run_on_jax

IDENTITY = np.eye(2, 3, dtype=np.float32)
RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.integers(0, 256, (6, 48, 48), np.uint8)


def maps_of(*rows):
    return np.array([rows] * len(IMAGES), np.float32)


def test_the_identity_leaves_images_as_they_are():
    for maps in (None, maps_of(*IDENTITY)):
        values, cover = sample(IMAGES, maps, 48)
        np.testing.assert_allclose(values, IMAGES, atol=1e-3)
        np.testing.assert_allclose(cover, 1, atol=1e-5)


@pytest.mark.parametrize(
    "rows, turned",
    [
        (((1, 0, 0), (0, -1, 0)), lambda x: x[:, :, ::-1]),
        (((-1, 0, 0), (0, 1, 0)), lambda x: x[:, ::-1]),
        (((0, 1, 0), (1, 0, 0)), lambda x: x.transpose(0, 2, 1)),
        (((0, 1, 0), (-1, 0, 0)), lambda x: np.rot90(x, 1, (1, 2))),
    ],
    ids=["mirror", "upside down", "transpose", "quarter turn"],
)
def test_maps_that_move_whole_pixels_move_them_exactly(rows, turned):
    values, _ = sample(IMAGES, maps_of(*rows), 48)
    np.testing.assert_allclose(values, turned(IMAGES), atol=2e-2)


def test_a_ramp_stays_a_ramp_at_another_size_and_corners_stay_corners():
    ramp = np.add.outer(2 * np.arange(48), 3 * np.arange(48)).astype(np.float32)
    values, cover = sample(ramp[None], None, 224)
    rows = np.linspace(0, 47, 224)
    expected = np.add.outer(2 * rows, 3 * rows)
    np.testing.assert_allclose(values[0], expected, atol=1e-3)
    np.testing.assert_allclose(cover, 1, atol=1e-5)


def test_a_shift_brings_in_the_mean_and_nothing_else():
    # Half of the image's width beyond its right edge.
    values, cover = sample(IMAGES, maps_of((1, 0, 0), (0, 1, 1)), 48)
    # 23.5 pixels: every value is the mean of two neighbours, the last is half outside.
    inside = IMAGES[:, :, 23:47].astype(float) / 2 + IMAGES[:, :, 24:].astype(float) / 2
    np.testing.assert_allclose(values[:, :, :24], inside, atol=1e-3)
    np.testing.assert_allclose(cover[:, :, 24], 0.5, atol=1e-4)
    assert (values[:, :, 25:] == 0).all() and (cover[:, :, 25:] == 0).all()
    image_input = ImageInput(48, (100.0, 50.0), 2.0)
    normalised = image_input(IMAGES, maps_of((1, 0, 0), (0, 1, 1)))
    assert (normalised[:, :, 25:] == 0).all()
    np.testing.assert_allclose(
        normalised[:, :, :24, 1], (values[:, :, :24] - 50) / 2, atol=1e-3
    )


@pytest.mark.parametrize("geometry", [*GEOMETRIES])
def test_a_face_of_the_mean_stays_the_mean_under_every_geometry(geometry):
    maps = draw_maps(geometry, 6, np.random.default_rng(0), 64)
    flat = np.full((6, 48, 48), 77, np.uint8)
    np.testing.assert_allclose(ImageInput(64, (77.0,))(flat, maps), 0, atol=1e-3)


@pytest.mark.parametrize("geometry", [*GEOMETRIES])
def test_draws_follow_from_the_generator(geometry):
    one, same, other = (
        draw_maps(geometry, 50, np.random.default_rng(seed), 48) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert one.dtype == np.float32 and one.shape == (50, 2, 3)
    assert (geometry == "none") == np.array_equal(one, other)


def test_the_augmentation_of_albanie_has_its_published_ranges():
    maps = draw_maps("albanie", 4000, np.random.default_rng(0), 224)
    upright = maps.copy()
    mirrored = np.linalg.det(maps[:, :, :2]) < 0
    upright[mirrored, 1] *= -1
    assert 0.46 < mirrored.mean() < 0.54
    untouched = (upright == IDENTITY).all(axis=(1, 2))
    # Half are left alone; all others are zoomed at least.
    assert 0.46 < untouched.mean() < 0.54
    changed = upright[~untouched]
    assert abs(changed[:, :, 2]).max() <= 0.04
    areas = np.linalg.det(changed[:, :, :2])
    assert areas.min() >= 0.96**2 * 0.99 and areas.max() <= 1.04**2 * 1.01
    literal = draw_maps("albanie-literal", 4000, np.random.default_rng(0), 224)
    assert 0.5 < abs(literal[:, :, 2]).max() <= 0.04 * 17


def test_the_augmentation_of_microsoft_shifts_by_at_most_eight_percent():
    maps = draw_maps("microsoft", 4000, np.random.default_rng(0), 64)
    assert 0.2 < np.linalg.norm(maps[:, :, 2], axis=1).max() <= 0.16 * 2**0.5 + 1e-6
    assert 0.46 < (np.linalg.det(maps[:, :, :2]) < 0).mean() < 0.54


def test_erasing_fills_a_rectangle_of_two_to_twenty_percent():
    images = np.ones((400, 40, 40, 1), np.float32)
    random = np.random.default_rng(0)
    shares = 1 - change_colours(images, Augmentation(erase=0.5), random).mean((1, 2, 3))
    assert 0.4 < (shares > 0).mean() < 0.6
    assert shares[shares > 0].min() > 0.01 and shares.max() < 0.22


def test_jitter_is_an_affine_change_of_the_whole_image():
    images = np.random.default_rng(1).normal(size=(20, 8, 8, 1)).astype(np.float32)
    random = np.random.default_rng(0)
    changed = change_colours(images.copy(), Augmentation(jitter=0.3), random)
    for before, after in zip(images, changed, strict=True):
        slope, offset = np.polyfit(before.ravel(), after.ravel(), 1)
        assert abs(slope - 1) <= 0.31 and abs(offset) <= 0.31
        np.testing.assert_allclose(after, slope * before + offset, atol=1e-4)


def test_mixing_treats_images_and_labels_alike():
    classes = np.random.default_rng(2).integers(0, 5, 64)
    targets = np.eye(5, dtype=np.float32)[classes]
    # Images that say their own labels.
    images = np.tile(targets[:, None, None], (1, 2, 2, 1))
    mixed, labels = mix(images, targets, 0.4, np.random.default_rng(0))
    np.testing.assert_allclose(mixed[:, 0, 0], labels, atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    assert ((labels > 0.05).sum(axis=1) == 2).any()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"geometry": "twist"}, "--augment twist: expected one of none, flip"),
        ({"erase": 1.5}, "--erase 1.5: expected 0 to 1"),
        ({"jitter": -1}, "--jitter -1: expected 0 to 1"),
        ({"mixup": 11}, "--mixup 11: expected 0 to 10"),
    ],
)
def test_augmentations_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        Augmentation(**settings)


def make_pipeline(**kwargs):
    targets = np.random.default_rng(3).dirichlet(np.ones(4), len(IMAGES))
    settings = {"seed": 7, "shuffle": True, "batch_size": 4} | kwargs
    return ImagePipeline(
        IMAGES, targets.astype(np.float32), ImageInput(32, (120.0,), 60.0), **settings
    )


EVERYTHING = Augmentation("albanie", erase=0.5, jitter=0.2, mixup=0.3)


def batches_are_those_of_numpy():
    """On either backend, in every epoch, also after a jump to a later one."""
    pipeline = make_pipeline(augmentation=EVERYTHING)
    for epoch in (0, 1, 5):
        pipeline.epoch = epoch
        dataset = pipeline.dataset
        found = (
            list(dataset.as_numpy_iterator())
            if hasattr(dataset, "as_numpy_iterator")
            else [dataset[number] for number in range(len(dataset))]
        )
        assert len(found) == len(pipeline) == 2
        for number, batch in enumerate(found):
            for part, expected in zip(
                batch, pipeline.batch(epoch, number), strict=True
            ):
                np.testing.assert_array_equal(part, expected)


def test_tf_data_serves_the_batches_of_numpy():
    batches_are_those_of_numpy()


def test_jax_is_served_the_batches_of_numpy():
    run_on_jax("tests.test_augmentation", "batches_are_those_of_numpy")


def test_every_epoch_has_each_image_once_in_an_order_of_its_own():
    pipeline = make_pipeline()
    sums = []
    for epoch in range(3):
        batches = [pipeline.batch(epoch, number)[0] for number in range(2)]
        sums.append(np.concatenate(batches).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(np.sort(sums[0]), np.sort(sums[1]))
    assert not np.array_equal(sums[0], sums[1])
    assert not np.array_equal(sums[1], sums[2])


def test_drawn_classes_follow_the_votes():
    targets = np.tile(np.float32([0.5, 0.3, 0.2, 0.0]), (2000, 1))
    pipeline = ImagePipeline(
        np.zeros((2000, 4, 4), np.uint8),
        targets,
        ImageInput(4, (0.0,)),
        batch_size=2000,
        draw_classes=True,
    )
    _, drawn = pipeline.batch(0, 0)
    assert set(np.unique(drawn)) == {0.0, 1.0} and (drawn.sum(axis=1) == 1).all()
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 0.3, 0.2, 0], atol=0.04)
    assert not np.array_equal(drawn, pipeline.batch(1, 0)[1])
