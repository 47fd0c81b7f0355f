"""Faces in frames: detection, and the grey crops that the face networks take.

A box is x1, y1, x2, y2 in pixels, right and bottom exclusive; it may reach beyond the
image. A detector is any function from a list of RGB frames to a list of (m, 5) arrays,
one per frame: boxes and the confidence in [0, 1] of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from emorec.errors import DataError, MissingExtraError, SpecError

Detector = Callable[[list[np.ndarray]], list[np.ndarray]]

# VoxCeleb's boxes were enlarged by this before they were cut out; the teacher then sees
# the central part, which is the box itself (Albanie 2018, section 4.1).
ENLARGED = 1.6
# What MTCNN is sure of: it finds faces from 0.7, among them ears and collars.
CONFIDENCE = 0.9
SIZE = 224
# The smallest face that MTCNN was trained to find.
_MTCNN_FACE = 20
_GREY = np.array([0.2989, 0.5870, 0.1140], np.float32)


def mtcnn_detector(min_face: int = 40) -> Detector:
    """Return MTCNN (Zhang 2016) as a detector; its weights come with the package.

    Parameters
    ----------
    min_face : int
        Faces of fewer pixels, 20 or more, are not looked for. Time falls with its
        square, and smaller faces show too little to tell an emotion.

    Raises
    ------
    MissingExtraError
        When the package mtcnn, or TensorFlow on which it runs, is not installed.
    SpecError
        When Keras runs on another backend, or `min_face` is below 20.
    """
    check_min_face(min_face)
    try:
        import tensorflow as tf  # mtcnn does not say that it needs it
        from mtcnn import MTCNN
    except ImportError as error:
        package = "tensorflow" if "tensorflow" in str(error) else "mtcnn"
        raise MissingExtraError(package, "faces", "Finding faces") from error
    import keras

    if keras.backend.backend() != "tensorflow":
        raise SpecError(
            f"Finding faces runs on TensorFlow, but KERAS_BACKEND is "
            f"{keras.backend.backend()}. Unset it for this command."
        )
    network = MTCNN()
    # It runs its layers one by one, from Python: compiled as graphs, which find the
    # same boxes to the bit, a frame takes less than half the time.
    any_size = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    for stage in network.stages:
        stage._model = tf.function(stage.model, input_signature=any_size)
    # Frames are made smaller instead of asking MTCNN for larger faces only: in release
    # 1.0.0 its pyramid then goes below its window of 12 pixels, and it finds nothing.
    shrink = _MTCNN_FACE / min_face

    def detect(frames: list[np.ndarray]) -> list[np.ndarray]:
        found = [np.zeros((0, 5))] * len(frames)
        # mtcnn pads frames of unequal size and then mixes their offsets up.
        for shape in sorted({frame.shape for frame in frames}):
            alike = [i for i, frame in enumerate(frames) if frame.shape == shape]
            if min(shape[:2]) * shrink < _MTCNN_FACE:
                continue
            width, height = round(shape[1] * shrink), round(shape[0] * shrink)
            rows = network.detect_faces(
                [_resize(frames[i], width, height) for i in alike],
                fit_to_image=False,
                box_format="xyxy",
                output_type="numpy",
                min_face_size=_MTCNN_FACE,
            )
            back = np.tile([shape[1] / width, shape[0] / height], 2)
            for place, i in enumerate(alike):
                found[i] = np.array(rows[rows[:, 0] == place, 1:6], np.float64)
                found[i][:, :4] *= back
        return found

    return detect


def check_min_face(min_face: int) -> None:
    """Raise SpecError for faces that are smaller than MTCNN finds any."""
    if min_face < _MTCNN_FACE:
        raise SpecError(f"Smallest face {min_face}: expected {_MTCNN_FACE} or more.")


def confident(boxes: np.ndarray, minimum: float = CONFIDENCE) -> np.ndarray:
    """Return the (m, 5) boxes with enough confidence and an area, the surest first.

    Raises
    ------
    DataError
        When the detector's array has another shape or is not finite.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 5 or not np.isfinite(boxes).all():
        raise DataError(
            f"The face detector must return finite (m, 5) arrays, x1, y1, x2, y2 and "
            f"confidence; received the shape {boxes.shape}."
        )
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    kept = boxes[real & (boxes[:, 4] >= minimum)]
    return kept[np.argsort(-kept[:, 4], kind="stable")]


def square(box: Sequence[float], scale: float = 1.0) -> np.ndarray:
    """Return the square about a box's centre with `scale` times its longer side."""
    x1, y1, x2, y2 = box[:4]
    half = scale * max(x2 - x1, y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return np.array([x - half, y - half, x + half, y + half])


def crop(
    image: np.ndarray, box: Sequence[float], size: int = SIZE, scale: float = 1.0
) -> np.ndarray:
    """Cut a face out of a frame as the networks take it.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    box : (4,) float
        The face. It is made square about its centre, with the longer side.
    size : int
        Side of the result in pixels.
    scale : float
        Enlarges the square. 1 shows what the teacher saw: a box enlarged 1.6 times of
        which the central 1/1.6 is taken.

    Returns
    -------
    (size, size) uint8
        Grey, resized bilinearly (with antialiasing where it shrinks). Beyond the
        border the nearest pixel is repeated: a black bar would be an edge that no
        training face has.

    Raises
    ------
    DataError
        When the square lies outside the image altogether.
    """
    return grey(cut(image, square(box, scale), size))


def central_crop(
    image: np.ndarray, size: int = SIZE, enlarged: float = ENLARGED
) -> np.ndarray:
    """Take the face out of a frame of a face track, whose boxes were enlarged.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB, the enlarged box.
    size : int
        Side of the result in pixels.
    enlarged : float
        By how much; the central ``1 / enlarged`` of each side is taken.

    Returns
    -------
    (size, size) uint8
        Grey, resized bilinearly.
    """
    return grey(cut(image, central_box(image, enlarged), size))


def central_box(image: np.ndarray, enlarged: float = ENLARGED) -> np.ndarray:
    """Return the box of the central ``1 / enlarged`` of an image's sides."""
    height, width = image.shape[:2]
    x, y = width * (1 - 1 / enlarged) / 2, height * (1 - 1 / enlarged) / 2
    return np.array([x, y, width - x, height - y])


def whole_box(image: np.ndarray) -> np.ndarray:
    """Return the box (4,) float64 of all of an image."""
    height, width = image.shape[:2]
    return np.array([0.0, 0.0, width, height])


def touches(image: np.ndarray, box: Sequence[float]) -> bool:
    """Tell whether a part of the box lies in the image."""
    height, width = image.shape[:2]
    return box[2] > 0 and box[3] > 0 and box[0] < width and box[1] < height


def grey(image: np.ndarray) -> np.ndarray:
    """Turn (..., 3) uint8 RGB to (...) uint8 with the weights of ITU-R BT.601."""
    return np.rint(image @ _GREY).clip(0, 255).astype(np.uint8)


def cut(image: np.ndarray, box: Sequence[float], size: int = SIZE) -> np.ndarray:
    """Cut a box out as it is, in colour; one that is not square is stretched.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    box : (>= 4,) float
        x1, y1, x2, y2.
    size : int
        Side of the result in pixels.

    Returns
    -------
    (size, size, 3) uint8
        RGB, resized bilinearly (with antialiasing where it shrinks). Beyond the
        border the nearest pixel is repeated.

    Raises
    ------
    DataError
        When the box lies outside the image altogether.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box[:4]
    if not touches(image, box):
        raise DataError(
            f"The box {np.round(box, 1).tolist()} lies outside the image of {width} x "
            f"{height}."
        )
    # The least whole pixels: resizing would let in what lies around.
    left, top = int(np.floor(x1 + 1e-6)), int(np.floor(y1 + 1e-6))
    right, bottom = int(np.ceil(x2 - 1e-6)), int(np.ceil(y2 - 1e-6))
    columns = np.arange(left, max(right, left + 1)).clip(0, width - 1)
    rows = np.arange(top, max(bottom, top + 1)).clip(0, height - 1)
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part = part[rows - rows[0]][:, columns - columns[0]]
    inner = np.array([x1 - left, y1 - top, x2 - left, y2 - top])
    inner = inner.clip(0, [len(columns), len(rows)] * 2)
    return _resize(part, size, size, tuple(inner))


def _resize(
    image: np.ndarray,
    width: int,
    height: int,
    box: tuple[float, ...] | None = None,
) -> np.ndarray:
    """Resize a part of an image bilinearly, with antialiasing where it shrinks."""
    if box is None and image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    small = picture.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(small)
