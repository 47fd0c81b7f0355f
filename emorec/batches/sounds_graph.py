"""Parts of sounds read, decoded and resampled inside a tf.data graph.

Where tensorflow-io's operations run (`emorec.features.audio_graph`), Python only says
which parts; elsewhere `emorec.batches.sounds` reads them by soundfile, equally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from emorec.batches.threaded import THREADS
from emorec.features import audio_graph

if TYPE_CHECKING:
    from emorec.batches.sounds import SoundPipeline


def serves(pipeline: SoundPipeline) -> bool:
    """Tell whether a pipeline's sounds can be read in the graph.

    On TensorFlow, with tensorflow-io, for waveforms of sounds that are neither changed
    nor in memory nor to be taken for 16 kHz whatever they are.
    """
    changes = pipeline.changes
    changed = changes.speed or changes.noise or changes.gain or pipeline.mixup
    return bool(
        pipeline.waves
        and not changed
        and not pipeline.sounds.in_memory
        and not pipeline.sounds.literal
        and keras.backend.backend() == "tensorflow"
        and audio_graph.available()
    )


def dataset(pipeline: SoundPipeline) -> Any:
    """Return the batches of a pipeline as tf.data, from paths to waveforms."""
    import numpy as np
    import tensorflow as tf

    count = pipeline.speech_input.samples
    names = np.array([str(path) for path in pipeline.sounds.paths])

    def numbers():
        yield from ((pipeline.epoch, number) for number in range(len(pipeline)))

    def plan(epoch, number):
        clips, starts, targets = pipeline.plan(int(epoch), int(number))
        return np.char.encode(names[clips], "utf-8").astype(object), starts, targets

    def read(path_and_start):
        path, start = path_and_start
        part = audio_graph.read_part(path, start - 1, count)
        return tf.ensure_shape(tf.pad(part, [[0, count - tf.size(part)]]), (count,))

    def make(epoch, number):
        paths, starts, targets = tf.numpy_function(
            plan, [epoch, number], [tf.string, tf.int64, tf.float32]
        )
        paths, starts = (tf.ensure_shape(each, (None,)) for each in (paths, starts))
        waves = tf.map_fn(read, (paths, starts), fn_output_signature=tf.float32)
        return waves, tf.ensure_shape(targets, (None, pipeline.num_labels))

    found = tf.data.Dataset.from_generator(
        numbers,
        output_signature=(tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.int64)),
    )
    found = found.apply(tf.data.experimental.assert_cardinality(len(pipeline)))
    found = found.map(make, num_parallel_calls=THREADS, deterministic=True)
    return found.prefetch(4)
