"""Videos that tests write themselves: bright squares that move on grey, as faces."""

from fractions import Fraction

import av
import numpy as np

HEIGHT, WIDTH, SIDE = 120, 160, 40


def picture(*corners, level=230):
    """Return an RGB frame with a bright square at each corner (x, y)."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for x, y in corners:
        image[round(y) : round(y) + SIDE, round(x) : round(x) + SIDE] = level
    return image


def path_of(k, speed=(0.5, 0.0), start=(10.0, 40.0)):
    """Return where a square is in frame k: uniform motion."""
    return start[0] + k * speed[0], start[1] + k * speed[1]


def write_video(path, images, rate=25, sound=False, rotation=0, times=None):
    """Write RGB frames as MPEG-4; `times` in seconds where the rate varies."""
    with av.open(str(path), "w") as container:
        images = list(images)
        stream = container.add_stream("mpeg4", rate=Fraction(rate).limit_denominator())
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            add_sound(container)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = (
                    round(times[number] * 1000),
                    Fraction(1, 1000),
                )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def add_sound(container, seconds=1):
    stream = container.add_stream("aac", rate=16_000)
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, 16_000 * seconds), np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts = 16_000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_sound(path, seconds=1):
    with av.open(str(path), "w") as container:
        add_sound(container, seconds)
    return path


class Finder:
    """A detector of the squares in `picture`; it counts the frames it saw."""

    def __init__(self):
        self.seen = 0
        self.largest_call = 0

    def __call__(self, frames):
        self.seen += len(frames)
        self.largest_call = max(self.largest_call, len(frames))
        return [find(frame) for frame in frames]


def find(frame):
    """Return the (m, 5) boxes of bright regions, side by side or one above another."""
    from scipy.ndimage import find_objects, label

    regions, _ = label(frame.mean(-1) > 145)
    boxes = [
        (x.start, y.start, x.stop, y.stop, 0.99)
        for y, x in find_objects(regions)
        if y.stop - y.start > 5 and x.stop - x.start > 5
    ]
    return np.array(boxes, float).reshape(-1, 5)
