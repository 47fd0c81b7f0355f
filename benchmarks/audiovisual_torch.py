r"""The audio-visual network of Chumachenko et al. (2022), written in PyTorch.

For `audiovisual_programs`, where emorec need not be installed. Modules stand where the
published checkpoints have them, so that these load by name. With a folder of
checkpoints and the logits that the published program made of them (``ravdess_common``,
``ravdess_ia``, ``ravdess_it`` and ``ravdess_lt.npz``) this network is compared with
them; the exit status is 1 where one differs by 1e-4 of the largest or more:

    python benchmarks/audiovisual_torch.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

FUSIONS = ("ia", "it", "lt")
TOLERANCE = 1e-4
STEM, FEATURES, WIDTH = 29, 1024, 128
STAGES = (("stage2", 116, 4), ("stage3", 232, 8), ("stage4", 464, 4))
# Rows and columns of the quadrants that the local convolutions 1 to 4 see: halves.
QUADRANTS = ((0, 0), (1, 0), (0, 1), (1, 1))


def _depthwise(entering, leaving, stride):
    return nn.Conv2d(entering, leaving, 3, stride, 1, groups=entering, bias=False)


def _pointwise(entering, leaving):
    return nn.Conv2d(entering, leaving, 1, bias=False)


def _rectified():
    return nn.ReLU(inplace=True)


class Unit(nn.Module):
    """An inverted residual of ShuffleNet-V2; the first of a stage halves its map."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        half = leaving // 2
        self.split = stride == 1
        self.branch1 = nn.Sequential()
        if not self.split:
            self.branch1 = nn.Sequential(
                _depthwise(entering, entering, 2),
                nn.BatchNorm2d(entering),
                _pointwise(entering, half),
                nn.BatchNorm2d(half),
                _rectified(),
            )
        self.branch2 = nn.Sequential(
            _pointwise(half if self.split else entering, half),
            nn.BatchNorm2d(half),
            _rectified(),
            _depthwise(half, half, stride),
            nn.BatchNorm2d(half),
            _pointwise(half, half),
            nn.BatchNorm2d(half),
            _rectified(),
        )

    def forward(self, x):
        """Join what is kept and what is transformed, channels by turns."""
        kept, moved = x.chunk(2, 1) if self.split else (x, x)
        both = torch.stack([self.branch1(kept), self.branch2(moved)], 2)
        return both.flatten(1, 2)


class Local(nn.Module):
    """Two convolutions of its own for each quadrant of the map."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        for number in range(1, 5):
            first = nn.Conv2d(entering, leaving, 3, 2, 1, groups=entering, bias=False)
            second = _depthwise(leaving, leaving, 1)
            for step, layer in ((1, first), (2, second)):
                setattr(self, f"conv{number}_{step}", layer)
                setattr(self, f"bn{number}_{step}", nn.BatchNorm2d(leaving))

    def forward(self, x):
        """Convolve the quadrants and put them back in place."""
        half = x.shape[-1] // 2
        done = {}
        for number, (lower, right) in enumerate(QUADRANTS, 1):
            rows = slice(lower * half, (lower + 1) * half)
            columns = slice(right * half, (right + 1) * half)
            y = x[:, :, rows, columns]
            for step in (1, 2):
                y = getattr(self, f"conv{number}_{step}")(y)
                y = torch.relu_(getattr(self, f"bn{number}_{step}")(y))
            done[lower, right] = y
        rows = [torch.cat([done[row, 0], done[row, 1]], 3) for row in (0, 1)]
        return torch.cat(rows, 2)


class Modulator(nn.Module):
    """A gate of channels and places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = width // 16
        channel = {
            "flatten": nn.Flatten(),
            "fc_0": nn.Linear(width, narrow),
            "bn_1": nn.BatchNorm1d(narrow),
            "relu_1": _rectified(),
            "fc_final": nn.Linear(narrow, width),
        }
        place = {
            "conv_reduce0": nn.Conv2d(width, narrow, 1),
            "bn_reduce0": nn.BatchNorm2d(narrow),
            "relu_reduce0": _rectified(),
        }
        for number in range(2):
            place |= {
                f"conv_di_{number}": nn.Conv2d(
                    narrow, narrow, 3, padding=4, dilation=4
                ),
                f"bn_di_{number}": nn.BatchNorm2d(narrow),
                f"relu_di_{number}": _rectified(),
            }
        place["conv_final"] = nn.Conv2d(narrow, 1, 1)
        for attribute, gate, parts in (
            ("channel_att", "gate_c", channel),
            ("spatial_att", "gate_s", place),
        ):
            named = nn.Sequential()
            for name, layer in parts.items():
                named.add_module(f"{gate}_{name}", layer)
            setattr(self, attribute, nn.ModuleDict({gate: named}))

    def forward(self, x):
        """Multiply by the gate."""
        channel = self.channel_att["gate_c"](x.mean((2, 3), keepdim=True))
        place = self.spatial_att["gate_s"](x)
        return x * torch.sigmoid(channel[:, :, None, None] * place)


class Tower(nn.Module):
    """What stands before the fusion and behind it: convolutions over time."""

    def __init__(self, widths: tuple[int, ...], labels: int, pooled: bool) -> None:
        super().__init__()
        for number, (entering, leaving) in enumerate(pairwise(widths)):
            parts = [
                nn.Conv1d(entering, leaving, 3, padding=0 if pooled else 1),
                nn.BatchNorm1d(leaving),
                _rectified(),
            ]
            parts += [nn.MaxPool1d(2, 1)] if pooled else []
            setattr(self, f"conv1d_{number}", nn.Sequential(*parts))
        # Of the network alone; the whole computes nothing from it.
        self.classifier_1 = nn.Sequential(nn.Linear(WIDTH, labels))

    def stage(self, x, number: int):
        """Apply two of the four convolutions to (B, C, T)."""
        for which in (2 * number - 2, 2 * number - 1):
            x = getattr(self, f"conv1d_{which}")(x)
        return x


class Faces(Tower):
    """EfficientFace before the convolutions over time."""

    def __init__(self, labels: int) -> None:
        super().__init__((FEATURES, 64, 64, 128, WIDTH), labels, False)
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), _rectified()
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        entering = STEM
        for name, width, count in STAGES:
            units = [Unit(entering, width, 2)]
            units += [Unit(width, width, 1) for _ in range(count - 1)]
            setattr(self, name, nn.Sequential(*units))
            entering = width
        first = STAGES[0][1]
        self.local, self.modulator = Local(STEM, first), Modulator(first)
        self.conv5 = nn.Sequential(
            _pointwise(entering, FEATURES), nn.BatchNorm2d(FEATURES), _rectified()
        )

    def frames(self, x):
        """Return features (N, 1024) of frames (N, 3, S, S)."""
        x = self.maxpool(self.conv1(x))
        x = self.modulator(self.stage2(x)) + self.local(x)
        x = self.conv5(self.stage4(self.stage3(x)))
        # As emorec: a mean of bfloat16 would lose digits.
        return x.float().mean((2, 3))


class Attend(nn.Module):
    """Attention of queries (B, Tq, Q) to keys (B, Tk, K)."""

    def __init__(self, keys: int, queries: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(queries, queries, bias=False)
        self.kv = nn.Linear(keys, 2 * queries, bias=False)
        self.proj = nn.Linear(queries, queries)

    def parts(self, keys, queries):
        """Return the map (B, H, Tq, Tk) and the values (B, H, Tk, W)."""
        q = self._by_head(self.q(queries))
        k, v = map(self._by_head, self.kv(keys).chunk(2, -1))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        return scores.softmax(-1), v

    def forward(self, keys, queries):
        """Return what is found (B, Tq, Q)."""
        weights, values = self.parts(keys, queries)
        found = (weights.to(values.dtype) @ values).transpose(1, 2).flatten(2)
        return self.proj(found)

    def _by_head(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """A transformer block without a residual around its attention."""

    def __init__(self, keys: int, queries: int, heads: int) -> None:
        super().__init__()
        self.norm1_q, self.norm1_k = nn.LayerNorm(queries), nn.LayerNorm(keys)
        self.attn, self.norm2 = Attend(keys, queries, heads), nn.LayerNorm(queries)
        self.mlp = nn.ModuleDict(
            {
                "fc1": nn.Linear(queries, 2 * queries),
                "fc2": nn.Linear(2 * queries, queries),
            }
        )

    def forward(self, keys, queries):
        """Return what the queries found, (B, Tq, Q)."""
        x = self.attn(self.norm1_k(keys), self.norm1_q(queries))
        inner = nn.functional.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.mlp["fc2"](inner)


class Network(nn.Module):
    """The whole network: logits (B, K) of audio and video.

    Inputs: audio (B, T, 10), video (B, F, S, S, 3), as emorec's. The memory of what is
    between them has the channels last, or first.
    """

    def __init__(
        self, fusion: str, heads: int = 1, labels: int = 8, channels_last: bool = True
    ) -> None:
        super().__init__()
        self.fusion, self.channels_last = fusion, channels_last
        self.audio_model = Tower((10, 64, 128, 256, WIDTH), labels, True)
        self.visual_model = Faces(labels)
        face = WIDTH if fusion == "lt" else 64
        kind = Attend if fusion == "ia" else Block
        names = ("av", "va") if fusion == "lt" else ("av1", "va1")
        for name, keys, queries in zip(
            names, (face, WIDTH), (WIDTH, face), strict=True
        ):
            setattr(self, name, kind(keys, queries, heads))
        self.classifier_1 = nn.Sequential(nn.Linear(2 * WIDTH, labels))
        last = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=last)

    def forward(self, audio, video):
        """Return the logits, float32."""
        frames = video.flatten(0, 1).permute(0, 3, 1, 2)
        frames = frames if self.channels_last else frames.contiguous()
        features = self.visual_model.frames(frames).unflatten(0, video.shape[:2])
        return self.behind(audio, features)

    def behind(self, audio, features):
        """Return the logits of audio and features of frames (B, F, 1024)."""
        voice = self.audio_model.stage(audio.transpose(1, 2), 1)
        face = self.visual_model.stage(features.transpose(1, 2), 1)
        if self.fusion == "lt":
            voice = self.audio_model.stage(voice, 2)
            face = self.visual_model.stage(face, 2)
            voice, face = self._both(self.av, self.va, voice, face)
        else:
            if self.fusion == "it":
                found = self._both(self.av1, self.va1, voice, face)
                voice, face = voice + found[0], face + found[1]
            else:
                steps = voice.transpose(1, 2), face.transpose(1, 2)
                over_faces, _ = self.av1.parts(steps[1], steps[0])
                over_voices, _ = self.va1.parts(*steps)
                voice = voice * over_voices.mean(1).sum(1)[:, None]
                face = face * over_faces.mean(1).sum(1)[:, None]
            voice = self.audio_model.stage(voice, 2)
            face = self.visual_model.stage(face, 2)
        both = torch.cat([voice.float().mean(-1), face.float().mean(-1)], -1)
        with torch.autocast(both.device.type, enabled=False):
            return self.classifier_1(both)

    @staticmethod
    def _both(av, va, voice, face):
        """Apply both blocks to (B, C, T)."""
        voice, face = voice.transpose(1, 2), face.transpose(1, 2)
        return av(face, voice).transpose(1, 2), va(voice, face).transpose(1, 2)


def load(network: Network, state: Mapping[str, np.ndarray]) -> None:
    """Put in a checkpoint, all of it."""
    tensors = {name: torch.from_numpy(np.asarray(x)) for name, x in state.items()}
    network.load_state_dict(tensors)


def of_keras(network: Network, weights: Mapping[str, np.ndarray]) -> dict:
    """Return emorec's weights, ``layer/weight`` -> array, under the names of here."""
    leaves = {
        "weight": ("gamma", "kernel"),
        "bias": ("beta", "bias"),
        "running_mean": ("moving_mean",),
        "running_var": ("moving_variance",),
    }
    state = {}
    for name, tensor in network.state_dict().items():
        owner, leaf = name.rsplit(".", 1)
        if leaf not in leaves:
            state[name] = np.zeros(tuple(tensor.shape), np.int64)  # batches seen
            continue
        layer = owner.replace(".", "_")
        found = next(
            weights[key]
            for key in (f"{layer}/{word}" for word in leaves[leaf])
            if key in weights
        )
        state[name] = _laid_out(found, tuple(tensor.shape))
    return state


def _laid_out(found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Put a kernel's outputs first; of one per channel both orders are the same."""
    if found.ndim == 4 and shape[1] == 1 and found.shape[2] > 1:
        found = found.reshape(*found.shape[:2], 1, -1)
    if found.ndim > 1:
        found = np.moveaxis(np.moveaxis(found, -1, 0), -1, 1)
    if found.shape != shape:
        raise ValueError(f"emorec has {found.shape} where PyTorch has {shape}.")
    return np.ascontiguousarray(found)


def compare(folder: Path) -> bool:
    """Say how far the logits are from those in a folder; return whether all agree."""
    common = dict(np.load(folder / "ravdess_common.npz"))
    audio = torch.from_numpy(common["audio"]).transpose(1, 2)
    video = torch.from_numpy(common["video"]).permute(0, 1, 3, 4, 2) / 255
    agree = True
    for fusion in FUSIONS:
        own = dict(np.load(folder / f"ravdess_{fusion}.npz"))
        state = {
            name.removeprefix("state/"): tensor
            for name, tensor in {**common, **own}.items()
            if name.startswith("state/")
        }
        for heads in (1, 4):
            network = Network(fusion, heads).eval()
            load(network, state)
            with torch.no_grad():
                found = network(audio, video).numpy()
            expected = own[f"logits_heads{heads}"]
            worst = np.abs(found - expected).max() / np.abs(expected).max()
            count = sum(tensor.numel() for tensor in network.parameters())
            print(f"{fusion}, {heads} heads: {count:,} parameters, {worst:.1e} away")
            agree &= bool(worst < TOLERANCE)
    return agree


if __name__ == "__main__":
    raise SystemExit(not compare(Path(sys.argv[1])))
