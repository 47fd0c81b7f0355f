"""Audio-visual clips that tests write themselves, and a detector for helpers."""

from fractions import Fraction

import av
import numpy as np

from tests.video_files import Finder, picture, write_video


def write_sounding_video(
    path, images, samples, rate=16_000, codec="aac", fps=25, late=0.0, layout="mono"
):
    """Write RGB frames with sound, (N,) or (channels, N) float in [-1, 1].

    The sound begins `late` seconds after the frames, or these before it.
    """
    samples = np.atleast_2d(np.asarray(samples, np.float32))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(fps).limit_denominator())
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        sound = container.add_stream(codec, rate=rate, layout=layout)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number + max(0, round(-late * fps))
            frame.time_base = 1 / Fraction(fps).limit_denominator()
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        wanted = sound.codec_context.format.name
        block = sound.codec_context.frame_size or 1024
        for first in range(0, samples.shape[1], block):
            part = np.ascontiguousarray(samples[:, first : first + block])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = first + max(0, round(late * rate))
            for shaped in av.AudioResampler(format=wanted).resample(frame):
                container.mux(sound.encode(shaped))
        container.mux(sound.encode())
    return path


def sine(hertz, rate, seconds, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def write_clip(path, frames=25, corner=(30, 40), seconds=1.0, fps=25, hertz=440):
    """Write a small clip: a bright square and a tone."""
    images = [picture(corner)] * frames
    return write_sounding_video(
        path, images, sine(hertz, 16_000, seconds), codec="pcm_s16le", fps=fps
    )


class Forgetful:
    """A detector that finds no face in the frames of some numbers."""

    def __init__(self, blind):
        self.blind, self.number, self.finder = set(blind), 0, Finder()

    def __call__(self, images):
        found = self.finder(images)
        for place in range(len(images)):
            if self.number in self.blind:
                found[place] = np.zeros((0, 5))
            self.number += 1
        return found


__all__ = ["Forgetful", "sine", "write_clip", "write_sounding_video", "write_video"]
