r"""How long evaluation takes when black frames are computed once, and when all pass.

    PYTHONPATH=. python benchmarks/audiovisual_evaluation.py
    PYTHONPATH=. python benchmarks/audiovisual_evaluation.py --clips 32 --lacking 0.5

A whole audio-visual network is asked by `emorec.training.av_scores.score`
about clips of noise, of which a share lacks the video: with both modalities, and with
audio alone, zeros for the video. Once as it is, and once behind a layer that hides its
frame network, so that all frames pass. Both take turns; medians over rounds, by the
clock and of the time in which cores worked, and how far the logits are apart.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import numpy as np

WAYS = ("black once", "all frames")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--lacking", type=float, default=0.25, help="share of clips")
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    from emorec.training import backend

    name = backend.prepare(0)
    import keras

    from emorec.batches.audiovisual import AvArrays
    from emorec.models.audiovisual import audiovisual
    from emorec.training import av_scores
    from emorec.training.av_data import AvData

    random = np.random.default_rng(0)
    count = arguments.clips
    shape = (count, arguments.frames, arguments.size, arguments.size, 3)
    lacking = np.arange(count) < round(arguments.lacking * count)
    arrays = AvArrays(
        random.standard_normal((count, 156, 10), np.float32),
        random.random(shape, np.float32),
        {"audio": np.ones(count, bool), "video": ~lacking},
        np.zeros((count, 8), np.float32),
    )
    data = AvData(None, arrays)
    model = audiovisual("ia", frames=arguments.frames, size=arguments.size)
    for weight in model.get_layer("frames").weights:
        # As drawn, nothing but zeros would come of a black frame.
        noise = 0.1 * np.abs(random.standard_normal(weight.shape))
        weight.assign(keras.ops.convert_to_numpy(weight) + noise)
    named = {x.name: keras.Input(x.shape[1:], name=x.name) for x in model.inputs}
    ways = dict(zip(WAYS, (model, keras.Model(named, model(named))), strict=True))
    passed = [0]
    for network in (model.get_layer("frames"), ways["all frames"]):
        network.predict_on_batch = counted(network.predict_on_batch, passed)
    conditions = {"both": ("audio", "video"), "audio": ("audio",)}
    results = {}
    for condition, modalities in conditions.items():
        found = {way: {"s": [], "core_s": []} for way in WAYS}
        for number in range(arguments.rounds + 1):
            for way, network in ways.items():
                passed[0] = 0
                began, worked = time.perf_counter(), time.process_time()
                rows = np.arange(count)
                logits = av_scores.score(network, data, rows, modalities)
                seconds = time.perf_counter() - began, time.process_time() - worked
                found[way] |= {"logits": logits, "frames": passed[0]}
                if number:  # the first compiles
                    found[way]["s"].append(seconds[0])
                    found[way]["core_s"].append(seconds[1])
        results[condition] = summary(found)
    print(
        f"{count} clips, {lacking.sum()} without video, {arguments.frames} frames of "
        f"{arguments.size} pixels; {name}; load {os.getloadavg()[0]:.1f}"
    )
    for condition, result in results.items():
        print(f"{condition}: logits {result['difference']:.1e} of the largest apart")
        for way in WAYS:
            each = result[way]
            print(
                f"  {way:12s} {each['frames']:6d} frames {each['s']:9.2f} s "
                f"{each['core_s']:9.2f} s of cores"
            )
        print(f"  all frames over black once: {result['ratio']}")
    print(json.dumps(results))


def counted(predict, passed: list[int]):
    """Count the frames that pass."""

    def predict_and_count(inputs):
        video = inputs["video"] if isinstance(inputs, dict) else inputs[:, None]
        passed[0] += video.shape[0] * video.shape[1]
        return predict(inputs)

    return predict_and_count


def summary(found: dict) -> dict:
    """Return medians, their ratios and the difference of the logits."""
    mine, theirs = (found[way].pop("logits") for way in WAYS)
    result = {
        way: {"frames": each["frames"]}
        | {name: statistics.median(each[name]) for name in ("s", "core_s")}
        for way, each in found.items()
    }
    result["difference"] = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
    result["ratio"] = {
        name: round(result["all frames"][name] / result["black once"][name], 2)
        for name in ("s", "core_s")
    }
    return result


if __name__ == "__main__":
    main()
