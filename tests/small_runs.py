"""Finished runs of small networks with weights drawn by seed, for tests that ask them.

What a training would have learnt is not there; everything else is: the model file, and
a record as trainings write it.
"""

from dataclasses import asdict

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.labels import FERPLUS, MOSEI, RAVDESS

TRAINING = {"epochs": 1, "best_epoch": 1, "kept_epoch": 1, "seconds": 0.1}


def _write(folder, name, system, model, spec, settings):
    run = RunFolder(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(run.folder / f"model_{name}.keras")
    training = TRAINING | {"parameters": model.count_params()}
    run.write_record(
        settings, spec, system=system, status="complete", training=training
    )
    return run


def small_faces(folder, name="faces_seed_0", seed=0, size=48):
    """Write a run of ``emorec faces``: grey faces of 48 x 48, eight emotions."""
    from emorec.training import backend

    backend.prepare(seed)
    import keras

    from emorec.batches.images import ImageInput
    from emorec.training.face_config import from_preset

    inputs = keras.Input((size, size, 1))
    x = keras.layers.Conv2D(4, 5, 4, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(len(FERPLUS))(x))
    spec = Spec(
        FERPLUS,
        (Modality("image", "grey faces", 1),),
        0,
        "majority",
        ImageInput(size, (127.0,), 64.0).to_dict(),
        {"dataset": "small FER+", "backend": "tensorflow"},
    )
    settings = asdict(from_preset("compact", {"seed": seed}))
    return _write(folder, name, "faces", model, spec, settings)


def small_voices(folder, name="voices_seed_0", seed=0, **changed):
    """Write a run of ``emorec voices``: log-mel spectrograms, eight emotions."""
    from emorec.training import backend

    backend.prepare(seed)
    from emorec.batches.speech_input import SpeechInput
    from emorec.models.vggm import compact

    of_input = SpeechInput(**{"features": "logmel", **changed})
    model = compact(len(FERPLUS), of_input.bins, widths=(4, 4, 8, 8))
    spec = Spec(
        FERPLUS,
        (Modality("speech", of_input.features, of_input.bins),),
        0,
        "distilled",
        of_input.to_dict(),
        {"dataset": "small voices", "backend": "tensorflow"},
    )
    return _write(folder, name, "voices", model, spec, {"seed": seed, "data": {}})


def small_ravdess(folder, name="audio_seed_1", seed=1):
    """Write a run of ``emorec ravdess train --fusion audio``: MFCC, eight emotions."""
    from emorec.training import backend

    backend.prepare(seed)
    from emorec.models.audiovisual import audio_network
    from emorec.training.av_config import AvConfig

    config = AvConfig(fusion="audio", mask="nodropout", manual_seed=seed)
    spec = Spec(
        RAVDESS,
        (Modality("audio", "MFCC at 22050 Hz", config.coefficients),),
        0,
        "single",
        {"kind": "audiovisual", "faces": 1 / 255},
        {"dataset": "small RAVDESS", "backend": "tensorflow"},
    )
    settings = asdict(config) | {"lr_steps": list(config.lr_steps), "data": {}}
    return _write(folder, name, "ravdess", audio_network(8), spec, settings)


def small_mosei(folder, name="l_1_n_8_d_0.2_b_32_s_45", seed=45):
    """Write a run of the main job: words and COVAREP, six intensities."""
    from emorec.training import backend

    backend.prepare(seed)
    from emorec.models.early_fusion import early_fusion
    from emorec.training.config import MoseiConfig

    model = early_fusion([300, 74], len(MOSEI), num_layers=1, num_nodes=8)
    spec = Spec(
        MOSEI,
        (Modality("text", "glove_vectors", 300), Modality("audio", "COVAREP", 74)),
        15,
        "all",
        {"kind": "none"},
        {"dataset": "small MOSEI", "miniature": True, "backend": "tensorflow"},
    )
    settings = MoseiConfig(modalities="TA").identity() | {"data": {}}
    return _write(folder, name, "mosei", model, spec, settings)
