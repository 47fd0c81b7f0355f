"""emorec's speech networks and their front ends, written in PyTorch.

For `voices_programs`, where emorec need not be installed: weights and shapes come from
the archive that its first program writes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

EPSILON, MOMENTUM = 1e-5, 0.1
WINDOW, HOP, FFT = 400, 160, 512
# vggm: convolutions with a stride of two, and pools by the convolution before them.
STRIDED = "12"
POOLS = {"1": (3, 2), "2": (3, 2), "5": ((5, 3), (3, 2))}


class FrontEnd(nn.Module):
    """Waveforms (B, N) at 16 kHz to normalised spectrograms (B, 1, F, T)."""

    def __init__(self, samples: int, filters: np.ndarray | None) -> None:
        super().__init__()
        self.size = 1 << (2 * samples - 1).bit_length()
        # x[n] - x[n-1] + 0.99 y[n-1] is x less a running mean with these weights.
        weights = np.zeros(self.size)
        weights[1:samples] = 0.01 * 0.99 ** np.arange(samples - 1)
        response = torch.from_numpy(np.fft.rfft(weights).astype(np.complex64))
        window = torch.hamming_window(WINDOW, periodic=False)
        self.register_buffer("response", response)
        self.register_buffer("window", window)
        if filters is not None:
            filters = torch.from_numpy(filters.astype(np.float32))
        self.register_buffer("filters", filters)

    def forward(self, waves):
        """Return the spectrograms."""
        waves = waves * torch.where(waves.abs().amax(-1, True) <= 1, 32768.0, 1.0)
        spectrum = torch.fft.rfft(waves, self.size) * self.response
        clean = waves - torch.fft.irfft(spectrum, self.size)[:, : waves.shape[1]]
        rest = clean[:, 1:] - 0.97 * clean[:, :-1]
        clean = torch.cat([clean[:, :1], rest], 1)
        frames = clean.unfold(-1, WINDOW, HOP) * self.window
        spectrum = torch.view_as_real(torch.fft.rfft(frames, FFT))
        power = spectrum.square().sum(-1).transpose(1, 2)
        if self.filters is None:
            bins = power.sqrt()
            bins = torch.cat([bins, bins[:, 1:-1].flip(1)], 1)
        else:
            bins = torch.log(self.filters @ power + 1)
        deviation, mean = torch.std_mean(bins, -1, keepdim=True)
        return ((bins - mean) / deviation.clamp_min(1e-12))[:, None]


class Same(nn.Module):
    """Pad so that a strided convolution sees the last part, too, as Keras' "same"."""

    def __init__(self, kernel: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        """Return (B, C, H, W) with zeros around it."""
        pads = []
        for size, kernel in (
            (x.shape[3], self.kernel[1]),
            (x.shape[2], self.kernel[0]),
        ):
            steps = -(-size // self.stride)
            missing = max(0, (steps - 1) * self.stride + kernel - size)
            pads += [missing // 2, missing - missing // 2]
        return nn.functional.pad(x, pads)


class Network(nn.Module):
    """The student of 512 bins, or the compact one, with emorec's weights."""

    def __init__(self, weights: dict[str, np.ndarray], published: bool) -> None:
        super().__init__()
        convolutions = sorted(
            name.split("/")[0].removeprefix("conv")
            for name in weights
            if name.startswith("conv") and name.endswith("/kernel")
        )
        parts = []
        for number in convolutions:
            *kernel, entering, leaving = weights[f"conv{number}/kernel"].shape
            if published:
                stride, padding = 1 + (number in STRIDED), 1
            else:
                stride, padding = 2 if int(number) < 4 else 1, 0
                parts.append(Same(kernel, stride))
            layer = nn.Conv2d(entering, leaving, kernel, stride, padding)
            parts += [_filled(layer, weights, f"conv{number}")]
            parts += _normalised(nn.BatchNorm2d, leaving, weights, number)
            if published and number in POOLS:
                parts.append(nn.MaxPool2d(*POOLS[number]))
        *kernel, entering, leaving = weights["fc6/kernel"].shape
        layer = nn.Conv2d(entering, leaving, kernel)
        parts += [_filled(layer, weights, "fc6")]
        parts += _normalised(nn.BatchNorm2d, leaving, weights, "6")
        self.seen = nn.Sequential(*parts)
        entering, leaving = weights["fc7/kernel"].shape
        self.embedded = nn.Sequential(
            _filled(nn.Linear(entering, leaving), weights, "fc7"),
            *_normalised(nn.BatchNorm1d, leaving, weights, "7"),
        )
        self.head = _filled(nn.Linear(*weights["fc8/kernel"].shape), weights, "fc8")

    def forward(self, spectrograms):
        """Return logits (B, K) of spectrograms (B, 1, F, T)."""
        x = self.embedded(self.seen(spectrograms).float().mean((2, 3)))
        with torch.autocast(x.device.type, enabled=False):
            return self.head(x.float())


class Heard(nn.Module):
    """A network with the front end before it, which has no gradient."""

    def __init__(self, front_end: FrontEnd, network: Network) -> None:
        super().__init__()
        self.front_end, self.network = front_end, network

    def forward(self, waves):
        """Return logits (B, K) of waveforms (B, N)."""
        with torch.no_grad(), torch.autocast(waves.device.type, enabled=False):
            spectrograms = self.front_end(waves)
        return self.network(spectrograms)


def _filled(layer, weights, name):
    """Give a convolution or a linear layer Keras' weights."""
    kernel = torch.from_numpy(weights[f"{name}/kernel"])
    kernel = kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
    with torch.no_grad():
        layer.weight.copy_(kernel)
        layer.bias.copy_(torch.from_numpy(weights[f"{name}/bias"]))
    return layer


def _normalised(kind, width, weights, number):
    layer = kind(width, eps=EPSILON, momentum=MOMENTUM)
    own = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    with torch.no_grad():
        for tensor, name in zip(own, names, strict=True):
            tensor.copy_(torch.from_numpy(weights[f"bn{number}/{name}"]))
    return [layer, nn.ReLU(inplace=True)]


def soft_loss(logits, teacher, temperature: float):
    """Return the mean cross-entropy of softened distributions."""
    target = (teacher / temperature).softmax(-1)
    return nn.functional.cross_entropy(logits / temperature, target)
