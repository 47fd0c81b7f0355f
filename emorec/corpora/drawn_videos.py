"""Writing a grey film with sound, for the miniatures."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from emorec.errors import MissingExtraError
from emorec.files import whole_file


def write_film(
    path: Path, images: Sequence[np.ndarray], fps: int, samples: np.ndarray, rate: int
) -> None:
    """Write pictures and sound as an mp4 file of MPEG-4 and AAC.

    Parameters
    ----------
    path : Path
        Ends with .mp4.
    images : sequence of (H, W) uint8
        Grey; H and W are even.
    fps : int
        Pictures a second.
    samples : (N,) float
        One channel; 1 is full scale.
    rate : int
        Samples a second; one that AAC knows, as 16,000.

    Raises
    ------
    MissingExtraError
        When PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "faces", "writing videos") from error
    sound = np.asarray(samples, np.float32)[None]
    with (
        whole_file(path) as temporary,
        # bitexact: no release of the library in the file.
        av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container,
    ):
        video = container.add_stream("mpeg4", rate=fps)
        video.height, video.width = images[0].shape
        video.pix_fmt, video.bit_rate = "yuv420p", 600_000
        # Several threads would share a picture in another way on every machine.
        video.codec_context.thread_count = 1
        # The encoder's better search takes longer than drawing and speaking.
        fast = {"aac_coder": "fast"}
        voice = container.add_stream("aac", rate=rate, layout="mono", options=fast)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        block = voice.codec_context.frame_size or 1024
        for first in range(0, sound.shape[1], block):
            part = np.ascontiguousarray(sound[:, first : first + block])
            piece = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            piece.sample_rate, piece.time_base = rate, Fraction(1, rate)
            piece.pts = first
            container.mux(voice.encode(piece))
        container.mux(voice.encode())
