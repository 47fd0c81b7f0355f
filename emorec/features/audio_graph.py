"""Sound files as samples inside a tf.data pipeline, by tensorflow-io's own decoders.

The same samples as `emorec.features.audio` gives, without Python in the pipeline. Only
TensorFlow 2.16 and 2.17 can run tensorflow-io 0.37.1, its last release, so nothing else
of emorec needs this.

Its lazy `AudioIOTensor` is not used. All calls of one operation share one open file
there: in a parallel `Dataset.map` over 40 files, 1 of 400 slices came silently from
another file, and with work between opening and reading 81 of 400. The decoders used
here hold nothing between calls.
"""

from __future__ import annotations

import struct
import warnings
from functools import lru_cache

from emorec.errors import MissingExtraError, SpecError
from emorec.features.audio import RATE

EXTRA, CONSTRAINTS = "tfio", "constraints-tfio.txt"

# Speex' filter at quality 4, the one that tensorflow-io takes: taps of the lower rate.
_TAPS = 64
# Rates of an mp3 by two bits of its frame's header, for MPEG 1; halved and quartered
# for MPEG 2 and 2.5.
_MP3_RATES = (44_100, 48_000, 32_000)
# Within so many bytes after its tag an mp3 must have its first frame.
_MP3_SEARCH = 65_536
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


@lru_cache(maxsize=1)
def available() -> bool:
    """Say whether tensorflow-io's operations run here; found out once, by running two.

    Beside other releases of TensorFlow its import succeeds and only the operations
    fail, so an import says nothing.
    """
    sound = struct.pack("<3h", 0, 16_384, -32_768)
    try:
        import tensorflow as tf

        with warnings.catch_warnings(), tf.init_scope(), tf.device("CPU"):
            # It warns of what it cannot load.
            warnings.simplefilter("ignore")
            import tensorflow_io as tfio

            decoded = tfio.audio.decode_wav(_pcm_wav(sound), dtype=tf.int16)
            resampled = tfio.audio.resample(tf.zeros((32, 1)), 2, 1)
            return decoded.numpy().tobytes() == sound and len(resampled) == 16
    # A wrong pair of releases shows as nearly any error.
    except Exception:
        return False


def read_audio(path, rate: int = RATE):
    """Read the first channel of a sound file, as operations of a TensorFlow graph.

    Parameters
    ----------
    path : () string tensor
        wav (8, 16, 24 or 32 bits, or 32-bit float), flac (8, 16 or 24 bits), mp3 or ogg
        (Vorbis); the content tells which, not the name.
    rate : int
        Wanted samples a second; a file of another rate is resampled.

    Returns
    -------
    (N,) float32 tensor
        1 is full scale. Without resampling equal to `emorec.features.audio.read_audio`
        within 1e-6 for wav, flac and ogg, within 2e-6 for mp3. With it as many samples,
        each at the same time, but by a shorter filter: see `resample`.

    Raises
    ------
    MissingExtraError
        When tensorflow-io is not installed or does not run; at once, not when drawn.
    SpecError
        For a rate that cannot be.
    tensorflow.errors.OpError
        When drawn: `NotFoundError` without the file, `OutOfRangeError` or
        `InvalidArgumentError` for one that is cut off, of another format, or has
        samples that are not finite. A graph cannot raise a `DataError`.
    """
    _check(rate)
    import tensorflow as tf

    contents = tf.io.read_file(path)
    return resample(*_decoded(contents, path), rate)


def read_part(path, start, length, rate: int = RATE):
    """Read `read_audio(path, rate)[start:start + length]`, of a wav that part only.

    Parameters
    ----------
    path : () string tensor
        See `read_audio`.
    start, length : () int64 tensors
        In samples at `rate`; `start` 0 or more. What lies beyond the end is left out.
    rate : int
        Wanted samples a second.

    Returns
    -------
    (M,) float32 tensor
        M is `length`, less at the end of the file. Of a wav at `rate` only these
        samples are read; another file is decoded whole.

    Raises
    ------
    MissingExtraError, SpecError, tensorflow.errors.OpError
        As `read_audio`; `InvalidArgumentError` also for a negative start or length.
    """
    _check(rate)
    import tensorflow as tf

    start, length = tf.cast(start, tf.int64), tf.cast(length, tf.int64)
    with tf.control_dependencies(
        [
            tf.debugging.assert_non_negative(start, "start: expected 0 or more"),
            tf.debugging.assert_non_negative(length, "length: expected 0 or more"),
        ]
    ):
        start, length = tf.identity(start), tf.identity(length)

    def read(at, count):
        # Not in its public interface, which only opens whole files.
        from tensorflow_io.python.ops import core_ops

        at, count = tf.cast(at, tf.int64), tf.cast(count, tf.int64)
        return core_ops.io_file_read(path, at, count, compression="")

    def whole():
        return read_audio(path, rate)[start : start + length]

    def of_wav():
        form = _wav_format(read)
        there = form["size"] // form["block"]
        first = tf.minimum(start, there)
        count = tf.minimum(length, there - first)

        def part():
            sound = read(form["data"] + first * form["block"], count * form["block"])
            wav = _with_size(read(0, form["data"]), sound)
            return _decoded(wav, path)[0]

        def seek():
            return tf.cond(count > 0, part, lambda: tf.zeros(0))

        return tf.cond(form["rate"] == rate, seek, whole)

    return tf.cond(read(0, 4) == b"RIFF", of_wav, whole)


def resample(samples, rate, wanted: int):
    """Change the rate of samples (N,) float32 to `wanted`; equal rates change nothing.

    tensorflow-io's filter (Speex, quality 4) has 64 taps of the lower rate and delays
    by half of them; the delay is taken away here, to the exact part of a sample.
    Returns ceil(N * wanted / rate) samples, what was within full scale cut to it, as
    `emorec.features.audio.resample` does, whose filter is longer: below 0.8 of the
    lower Nyquist rate the two differ by 2e-5 of the loudest sample, at 0.9 by 1e-2, and
    by as much within a filter's length of either end.
    """
    import tensorflow as tf
    import tensorflow_io as tfio

    rate = tf.cast(rate, tf.int64)

    def changed():
        common = _common_divisor(rate, wanted)
        up, down = wanted // common, rate // common
        taps = tf.maximum(_TAPS * down // up, _TAPS)
        delay = ((taps - 1) // 8 * 8 + 8) // 2
        # So many zeros first that the delay is a whole number of samples afterwards.
        before = -delay % down
        late = (delay + before) // down * up
        padded = tf.pad(samples, [[before, delay + down]])
        result = tfio.audio.resample(padded[:, None], rate, wanted)[:, 0]
        count = -(-tf.size(samples, tf.int64) * up // down)
        result = result[late : late + count]
        within = tf.reduce_max(tf.abs(samples)) <= 1
        return tf.cond(within, lambda: tf.clip_by_value(result, -1, 1), lambda: result)

    result = tf.cond(rate == wanted, lambda: samples, changed)
    return tf.ensure_shape(result, (None,))


def _check(rate: int) -> None:
    if rate < 1:
        raise SpecError(f"rate {rate}: expected samples a second, 1 or more.")
    if not available():
        raise MissingExtraError(
            "tensorflow-io", EXTRA, "reading sounds inside tf.data", CONSTRAINTS
        )


def _decoded(contents, path):
    """Return samples (N,) float32 of the first channel and their rate, int64."""
    import tensorflow as tf
    import tensorflow_io as tfio

    def read(at, count):
        return tf.strings.substr(contents, at, count)

    def scaled(decode, type_):
        """Return a branch that decodes integers; 24 bits fill 32 from above."""

        def branch():
            whole = tf.cast(decode(contents, dtype=type_)[:, 0], tf.float64)
            # Unsigned bytes have their zero in the middle.
            whole = (whole - 128) * 256 if type_ == tf.uint8 else whole
            bits = 32 if type_ == tf.int32 else 16
            return tf.cast(whole / 2.0 ** (bits - 1), tf.float32)

        return branch

    def wav():
        form = _wav_format(read)

        def floating():
            return tfio.audio.decode_wav(contents, dtype=tf.float32)[:, 0]

        def whole_32():
            # tensorflow-io takes every 32 bits for a float; the bits are right.
            whole = tf.cast(tf.bitcast(floating(), tf.int32), tf.float64)
            return tf.cast(whole / 2.0**31, tf.float32)

        samples = tf.case(
            [
                (form["bits"] == 8, scaled(tfio.audio.decode_wav, tf.uint8)),
                (form["bits"] == 24, scaled(tfio.audio.decode_wav, tf.int32)),
                (_both(form["bits"] == 32, form["tag"] == _PCM), whole_32),
                (form["bits"] == 32, floating),
            ],
            default=scaled(tfio.audio.decode_wav, tf.int16),
        )
        return samples, form["rate"]

    def flac():
        # Rate (20 bits), channels - 1 (3), bits - 1 (5): in the first block, always.
        a, b, c, d = tf.unstack(_bytes(read(18, 4), 4))
        bits = (c % 2) * 16 + d // 16 + 1
        samples = tf.case(
            [
                (bits == 8, scaled(tfio.audio.decode_flac, tf.uint8)),
                (bits == 24, scaled(tfio.audio.decode_flac, tf.int32)),
            ],
            default=scaled(tfio.audio.decode_flac, tf.int16),
        )
        return samples, a * 4096 + b * 16 + c // 16

    def ogg():
        vorbis = tf.debugging.Assert(read(29, 6) == b"vorbis", [path, "not Vorbis"])
        with tf.control_dependencies([vorbis]):
            samples = tfio.audio.decode_vorbis(contents)[:, 0]
        return samples, _integer(read(40, 4), 4)

    def mp3():
        return tfio.audio.decode_mp3(contents)[:, 0], _mp3_rate(contents, path)

    samples, rate = tf.case(
        [
            (read(0, 4) == b"RIFF", wav),
            (read(0, 4) == b"fLaC", flac),
            (read(0, 4) == b"OggS", ogg),
        ],
        default=mp3,
    )
    some = tf.debugging.Assert(tf.size(samples) > 0, [path, "holds no samples"])
    with tf.control_dependencies([some]):
        samples = tf.debugging.check_numerics(samples, "samples of a sound")
    return tf.ensure_shape(samples, (None,)), rate


def _wav_format(read) -> dict:
    """Return int64 tensors: tag, rate, bits, block; data and size, both in bytes.

    `read(at, count)` returns so many bytes of the file. Chunks may stand in any order
    before the samples; a file without them makes `read` fail at its end.
    """
    import tensorflow as tf

    def fmt(at, size):
        known = _bytes(read(at, 16), 16)
        short = _little(known[0:2])
        # The extended form has the tag in its last part.
        tag = tf.cond(
            _both(short == _EXTENSIBLE, size >= 26),
            lambda: _integer(read(at + 24, 2), 2),
            lambda: short,
        )
        values = [tag, *(_little(known[i:j]) for i, j in ((4, 8), (14, 16), (12, 14)))]
        return tf.stack(values)

    def chunk(at, form, data, size):
        name, size = read(at, 4), _integer(read(at + 4, 4), 4)
        form = tf.cond(name == b"fmt ", lambda: fmt(at + 8, size), lambda: form)
        data = tf.where(name == b"data", at + 8, 0)
        return at + 8 + size + size % 2, form, data, size

    zero = tf.constant(0, tf.int64)
    _, form, data, size = tf.while_loop(
        lambda at, form, data, size: data == 0,
        chunk,
        (zero + 12, tf.zeros(4, tf.int64), zero, zero),
    )
    known = tf.debugging.Assert(form[3] > 0, ["wav: samples before their format"])
    with tf.control_dependencies([known]):
        tag, rate, bits, block = tf.unstack(tf.identity(form))
    return dict(tag=tag, rate=rate, bits=bits, block=block, data=data, size=size)


def _mp3_rate(contents, path):
    """Return the rate that the first frame after a tag states, int64."""
    import tensorflow as tf

    def after_tag():
        parts = _bytes(tf.strings.substr(contents, 6, 4), 4)
        return 10 + tf.reduce_sum(parts * [1 << 21, 1 << 14, 1 << 7, 1])

    tagged = tf.strings.substr(contents, 0, 3) == b"ID3"
    start = tf.cond(tagged, after_tag, lambda: tf.constant(0, tf.int64))
    raw = tf.io.decode_raw(tf.strings.substr(contents, start, _MP3_SEARCH), tf.uint8)
    raw = tf.cast(raw, tf.int64)
    sync, kind, index = raw[:-2], raw[1:-1], raw[2:] // 4 % 4
    version, layer = kind // 8 % 4, kind // 2 % 4
    frame = (sync == 255) & (kind >= 224) & (version != 1) & (layer != 0) & (index != 3)
    found = tf.where(frame)[:, 0]
    known = tf.debugging.Assert(
        tf.size(found) > 0, [path, "neither wav nor flac, ogg or mp3"]
    )
    with tf.control_dependencies([known]):
        first = tf.identity(found)[0]
    rates = tf.constant(_MP3_RATES, tf.int64)
    parts = tf.constant((4, 1, 2, 1), tf.int64)
    return tf.gather(rates, index[first]) // tf.gather(parts, version[first])


def _with_size(head, sound):
    """Return a wav of `head`, all up to the samples, and of the samples `sound`."""
    import tensorflow as tf

    def four(value):
        letters = tf.constant([bytes([i]) for i in range(256)])
        parts = tf.cast(value, tf.int64) // [1, 1 << 8, 1 << 16, 1 << 24] % 256
        return tf.strings.reduce_join(tf.gather(letters, parts))

    before, size = tf.strings.length(head), tf.strings.length(sound)
    middle = tf.strings.substr(head, 8, before - 12)
    return tf.strings.join(
        [b"RIFF", four(before + size - 8), middle, four(size), sound]
    )


def _pcm_wav(sound: bytes) -> bytes:
    """Return a wav of one channel of 16 bits at 16 kHz."""
    form = struct.pack("<HHIIHH", _PCM, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bytes(text, count: int):
    """Return the bytes of a string tensor as (count,) int64."""
    import tensorflow as tf

    raw = tf.io.decode_raw(text, tf.uint8)
    return tf.ensure_shape(tf.cast(raw, tf.int64), (count,))


def _little(parts):
    """Return the number that bytes (n,) int64 write, the lowest first."""
    import tensorflow as tf

    return tf.reduce_sum(parts * [256**i for i in range(parts.shape[0])])


def _integer(text, count: int):
    return _little(_bytes(text, count))


def _both(one, other):
    import tensorflow as tf

    return tf.logical_and(one, other)


def _common_divisor(one, other: int):
    import tensorflow as tf

    divisor, _ = tf.while_loop(
        lambda a, b: b > 0, lambda a, b: (b, a % b), (one, tf.constant(other, tf.int64))
    )
    return divisor
