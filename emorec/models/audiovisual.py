"""Attention between voice and face: three fusions, and each of the two alone.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data". A network is two networks: ``frames``, which
makes 1024 features of every frame (`emorec.models.efficientface`), and ``fusion``,
which makes logits of these and of the audio. So the second can be trained alone on
features that are computed once.

Layers have the names of the published PyTorch network, with ``_`` for ``.``:
``audio_model_conv1d_0_0`` and its normalisation ``audio_model_conv1d_0_1``,
``av1_attn_q``, ``classifier_1_0``. ``av`` is attention of audio queries over video
keys, ``va`` that of video queries over audio keys.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from emorec.errors import SpecError
from emorec.models.attention import Attention, IdleDense
from emorec.models.efficientface import FEATURES, efficientface

FUSIONS = ("ia", "it", "lt")
FRAMES = 15
COEFFICIENTS = 10
WIDTH = 128
# Fewer steps of audio leave nothing to average: each of four convolutions with its
# pooling takes three.
SHORTEST = 13
CLASSIFIER = "classifier_1_0"
ATTENTIONS = {"audio_over_video": "av_attention", "video_over_audio": "va_attention"}
_VOICE, _FACE = "audio_model", "visual_model"
# Widths of the four convolutions, two to a stage.
_VOICE_WIDTHS, _FACE_WIDTHS = (64, 128, 256, WIDTH), (64, 64, 128, WIDTH)


def audiovisual(
    fusion: str = "ia",
    num_labels: int = 8,
    num_heads: int = 1,
    frames: int = FRAMES,
    size: int = 224,
    initializer: str = "he_normal",
    coefficients: int = COEFFICIENTS,
) -> keras.Model:
    """Build the whole network.

    Parameters
    ----------
    fusion : {"ia", "it", "lt"}
        ia, intermediate attention: after its first stage each modality's steps are
        weighed by the attention they get from the other. it, intermediate transformer:
        each is added what it finds in the other. lt, late transformer: after both
        stages each is replaced by what it finds in the other.
    num_labels : int
        K, the outputs.
    num_heads : int
        Of attention; it must divide 128, and 64 but for lt.
    frames : int
        F, frames of a clip.
    size : int
        Height and width of the frames, a multiple of 16.
    initializer : str
        Of the kernels, as Keras names it. Where weights are loaded afterwards "zeros"
        starts sooner.
    coefficients : int
        C, MFCC of a step.

    Returns
    -------
    keras.Model
        Inputs ``audio`` (B, T, C) float: T steps, 13 or more, 156 in the paper, of C
        MFCC; ``video`` (B, F, size, size, 3) float in [0, 1], channels last. Output:
        logits (B, K) float32. Its layers ``frames`` and ``fusion`` are networks, too.
        For 8 labels and any number of heads 1,854,766 trainable parameters (ia),
        1,938,414 (it), 2,045,550 (lt); like the published networks they hold some that
        take no part (`emorec.models.attention.IdleDense`).

    Raises
    ------
    SpecError
        For a fusion that is not there, or heads or a size that do not divide.
    """
    ending = fusion_network(
        fusion, num_labels, num_heads, frames, initializer, coefficients
    )
    audio = keras.Input((None, coefficients), name="audio")
    return _after_frames(
        ending, frames, size, initializer, {"audio": audio}, "audiovisual"
    )


def fusion_network(
    fusion: str = "ia",
    num_labels: int = 8,
    num_heads: int = 1,
    frames: int = FRAMES,
    initializer: str = "he_normal",
    coefficients: int = COEFFICIENTS,
    features: int = FEATURES,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the network behind the frame network.

    Parameters and errors are those of `audiovisual`, and:

    coefficients, features : int
        C and W, the widths of a step of audio and of a frame; for others than the
        published ones no published weights fit.
    dropout : float
        Share of the frames' features, and of what is classified, that training leaves
        out; the published network has none.

    Returns
    -------
    keras.Model
        Named "fusion". Inputs ``audio`` (B, T, C) float and ``frames`` (B, F, W) float,
        the features of each frame. Output: logits (B, K) float32.
    """
    _check(fusion, num_heads)
    audio = keras.Input((None, coefficients), name="audio")
    features = keras.Input((frames, features), name="frames")
    voice = _voice_stage(audio, 1, initializer)
    face = layers.Dropout(dropout)(features) if dropout else features
    face = _face_stage(face, 1, initializer)
    if fusion == "lt":
        voice = _voice_stage(voice, 2, initializer)
        face = _face_stage(face, 2, initializer)
        voice, face = (
            _block(face, voice, num_heads, "av", "av"),
            _block(voice, face, num_heads, "va", "va"),
        )
    else:
        if fusion == "it":
            found = _block(face, voice, num_heads, "av", "av1")
            sought = _block(voice, face, num_heads, "va", "va1")
            voice = layers.Add(name="audio_and_found")([voice, found])
            face = layers.Add(name="video_and_found")([face, sought])
        else:
            face_weights = _importance(face, voice, num_heads, "av")
            voice_weights = _importance(voice, face, num_heads, "va")
            voice = layers.Multiply(name="audio_weighed")([voice, voice_weights])
            face = layers.Multiply(name="video_weighed")([face, face_weights])
            # The published network has these and computes nothing from them.
            voice = IdleDense(WIDTH, name="av1_proj")(voice)
            face = IdleDense(face.shape[-1], name="va1_proj")(face)
        voice = _voice_stage(voice, 2, initializer)
        face = _face_stage(face, 2, initializer)
    means = []
    for x, model in ((voice, _VOICE), (face, _FACE)):
        x = _mean_over_time(x, model)
        # Those of the two networks alone, which the whole has idle.
        idle = IdleDense(num_labels, dtype="float32", name=f"{model}_{CLASSIFIER}")
        means.append(idle(x))
    x = layers.Concatenate(dtype="float32", name="both")(means)
    x = layers.Dropout(dropout, dtype="float32")(x) if dropout else x
    logits = _classified(x, num_labels, CLASSIFIER)
    return keras.Model({"audio": audio, "frames": features}, logits, name="fusion")


def audio_network(
    num_labels: int = 8,
    initializer: str = "he_normal",
    coefficients: int = COEFFICIENTS,
) -> keras.Model:
    """Build the network of the voice alone.

    Returns
    -------
    keras.Model
        Input ``audio`` (B, T, C) float, T of 13 or more, C `coefficients`. Output:
        logits (B, K) float32.
    """
    audio = keras.Input((None, coefficients), name="audio")
    x = _voice_stage(_voice_stage(audio, 1, initializer), 2, initializer)
    x = _classified(_mean_over_time(x, _VOICE), num_labels, f"{_VOICE}_{CLASSIFIER}")
    return keras.Model({"audio": audio}, x, name="audio_network")


def video_network(
    num_labels: int = 8,
    frames: int = FRAMES,
    size: int = 224,
    initializer: str = "he_normal",
) -> keras.Model:
    """Build the network of the face alone.

    Returns
    -------
    keras.Model
        Input ``video`` (B, F, size, size, 3) float in [0, 1], channels last. Output:
        logits (B, K) float32. Its layers ``frames`` and ``features_network`` are
        networks, too.
    """
    ending = features_network(num_labels, frames, initializer)
    return _after_frames(ending, frames, size, initializer, {}, "video_network")


def features_network(
    num_labels: int = 8,
    frames: int = FRAMES,
    initializer: str = "he_normal",
    features: int = FEATURES,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the network of the face alone behind the frame network.

    Returns
    -------
    keras.Model
        Input ``frames`` (B, F, W) float, W `features` of each frame. Output: logits
        (B, K) float32. Dropout as of `fusion_network`.
    """
    features = keras.Input((frames, features), name="frames")
    x = layers.Dropout(dropout)(features) if dropout else features
    x = _mean_over_time(
        _face_stage(_face_stage(x, 1, initializer), 2, initializer), _FACE
    )
    x = layers.Dropout(dropout, dtype="float32")(x) if dropout else x
    x = _classified(x, num_labels, f"{_FACE}_{CLASSIFIER}")
    return keras.Model({"frames": features}, x, name="features_network")


def attention_maps(model: keras.Model) -> keras.Model:
    """Return a network of the attention maps, which shares the weights of `model`.

    Parameters
    ----------
    model : keras.Model
        Of `audiovisual` or `fusion_network`, or the latter with inputs ``audio`` and
        ``video``.

    Returns
    -------
    keras.Model
        Inputs: those of `model`. Outputs ``audio_over_video`` (B, heads, Ta, Tv)
        float32 and ``video_over_audio`` (B, heads, Tv, Ta) float32: queries, then
        keys; over the keys each sums to 1. Of 156 steps and 15 frames Ta is 150 (ia,
        it) or 144 (lt), Tv 15.

    Raises
    ------
    SpecError
        For a network without attention.
    """
    ending = model if model.name == "fusion" else _layer(model, "fusion")
    maps = keras.Model(
        ending.input,
        {key: _layer(ending, name).output[1] for key, name in ATTENTIONS.items()},
        name="attention_maps",
    )
    if ending is model:
        return maps
    audio, video = (
        keras.Input(model.input[x].shape[1:], name=x) for x in ("audio", "video")
    )
    features = video
    if len(video.shape) == 5:  # faces, not features of them
        features = _of_each(model.get_layer("frames"), video)
    return keras.Model(
        {"audio": audio, "video": video}, maps({"audio": audio, "frames": features})
    )


def _check(fusion, num_heads):
    """Refuse what cannot be built."""
    if fusion not in FUSIONS:
        raise SpecError(f"fusion '{fusion}': expected one of {', '.join(FUSIONS)}.")
    width = WIDTH if fusion == "lt" else _FACE_WIDTHS[1]
    if num_heads < 1 or width % num_heads:
        raise SpecError(
            f"{num_heads} heads: expected a number that divides the {width} channels "
            f"of fusion {fusion}: 1, 2, 4 and so on."
        )


def _layer(model, name):
    """Return the layer of a network with attention."""
    try:
        return model.get_layer(name)
    except ValueError:
        raise SpecError(
            f"network '{model.name}': expected one with attention, of audiovisual or "
            "fusion_network."
        ) from None


def _after_frames(ending, frames, size, initializer, inputs, name):
    """Put the frame network before `ending`."""
    video = keras.Input((frames, size, size, 3), name="video")
    features = _of_each(efficientface(size, initializer), video)
    logits = ending(inputs | {"frames": features})
    return keras.Model(inputs | {"video": video}, logits, name=name)


def _of_each(network, video):
    """Apply the frame network to all frames of all clips at once."""
    frames, *shape = video.shape[1:]
    features = network(ops.reshape(video, (-1, *shape)))
    return ops.reshape(features, (-1, frames, features.shape[-1]))


def _voice_stage(x, stage, initializer):
    """Convolve, normalise, rectify and pool twice, each without padding."""
    for number in (2 * stage - 2, 2 * stage - 1):
        name = f"{_VOICE}_conv1d_{number}"
        x = _unit(x, _VOICE_WIDTHS[number], name, "valid", initializer)
        x = layers.MaxPooling1D(2, 1, name=f"{name}_3")(x)
    return x


def _face_stage(x, stage, initializer):
    """Convolve over the frames, normalise and rectify twice."""
    for number in (2 * stage - 2, 2 * stage - 1):
        name = f"{_FACE}_conv1d_{number}"
        x = _unit(x, _FACE_WIDTHS[number], name, "same", initializer)
    return x


def _unit(x, width, name, padding, initializer):
    x = layers.Conv1D(
        width, 3, padding=padding, kernel_initializer=initializer, name=f"{name}_0"
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_1")(x)
    return layers.ReLU(name=f"{name}_2")(x)


def _attended(keys, queries, num_heads, direction, name):
    """Return what the queries (B, Tq, W) find in the keys, and the attention map."""
    width = queries.shape[-1]
    q = layers.Dense(width, use_bias=False, name=f"{name}_q")(queries)
    kv = layers.Dense(2 * width, use_bias=False, name=f"{name}_kv")(keys)
    return Attention(num_heads, name=f"{direction}_attention")(q, kv)


def _importance(keys, queries, num_heads, direction):
    """Return the attention (B, Tk, 1) that each key gets, of all queries."""
    _, weights = _attended(keys, queries, num_heads, direction, f"{direction}1")
    return ops.expand_dims(ops.sum(ops.mean(weights, axis=1), axis=1), -1)


def _block(keys, queries, num_heads, direction, name):
    """Apply a transformer block, without a residual around its attention."""
    width = queries.shape[-1]
    queries = _normalised(queries, f"{name}_norm1_q")
    keys = _normalised(keys, f"{name}_norm1_k")
    x, _ = _attended(keys, queries, num_heads, direction, f"{name}_attn")
    x = layers.Dense(width, name=f"{name}_attn_proj")(x)
    y = _normalised(x, f"{name}_norm2")
    y = layers.Dense(2 * width, activation="gelu", name=f"{name}_mlp_fc1")(y)
    y = layers.Dense(width, name=f"{name}_mlp_fc2")(y)
    return layers.Add(name=name)([x, y])


def _normalised(x, name):
    return layers.LayerNormalization(epsilon=1e-5, name=name)(x)


def _mean_over_time(x, model):
    # float32, for a narrow mean would lose digits.
    return layers.GlobalAveragePooling1D(dtype="float32", name=f"{model}_mean")(x)


def _classified(x, num_labels, name):
    # float32 also under mixed precision, so that the softmax keeps its digits.
    return layers.Dense(num_labels, dtype="float32", name=name)(x)
