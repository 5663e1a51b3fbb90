"""Echo phantom: ultrasound-like videos of a beating left ventricle; the label is its ejection fraction in percent.

A procedural stand-in for EchoNet-Dynamic (Ouyang et al. 2020, 10.1038/s41586-020-2145-8): 20,000 clips at 8 fps, grey
in three channels, split 4:1 into training and validation, and 4,000 test clips; the default format has 17 frames of
64×64 pixels. Lengths below are in units of 1/64 of the frame's side.

The cavity is an ellipse with semi-axes a (short) and b (long, towards the transducer) inside a bright wall, seen in a
fan-shaped sector. Its volume follows the single-plane area-length method, ``V = 8 A² / (3 π L)`` with area
``A = π a b`` and length ``L = 2 b``, and the label is ``EF = 100 (1 - V_ES / V_ED)``. Frame 0 is end diastole, and both
the heart period and the systole last a whole number of frames. The clip therefore contains the frames of end diastole
and end systole, and the label follows exactly from the drawn areas and lengths.

A scene (position, tilt, axes, wall, gain, heart period, speckle) is independent of the label: each scene can be
rendered with any ejection fraction, and its first frame is the same for all of them. The speckle is fixed to the tissue
and moves with it. Only sums, products, quotients, square roots and comparisons of float64 numbers are used, and matrix
products of integers, which are exact in any order, so videos are identical on every machine, bit for bit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from vcfe_bench.goals import Goal, ValueGoal
from vcfe_bench.interfaces import Dataset, Sample, Split, Values
from vcfe_datasets.echo.echo_planimetry import Planimetry, planimetry

VALUES = Values(low=20.0, high=75.0, change=15.0, tolerance=5.0, unit="% ejection fraction")
"""Labels are uniform in their range. The tolerance is close to the mean absolute error, 4.1, of the regressor published
with EchoNet-Dynamic."""
RENDERED = (0.0, 85.0)
"""Range of the ejection fractions with which a scene can be rendered."""
SYSTOLE = {5: 2, 6: 2, 7: 3, 8: 3}
"""Frames from end diastole to end systole, by heart period in frames (96, 80, 69 and 60 beats per minute at 8 fps)."""
SHORTENING = 0.25
"""Shortening of the long axis, as a fraction of the ejection fraction."""
BLOOD, TISSUE, WALL = 20.0, 95.0, 165.0
"""Mean grey levels (of 255) next to the transducer, at gain 1."""
BORDER = 2.0
"""Width of the soft edge between the wall and the surrounding tissue."""
ATTENUATION = 0.25
"""Fraction of the brightness that is lost at the far end of the sector."""
CONTRAST = 0.5
"""Largest deviation of the speckle from its mean, as a fraction of the mean."""
APEX, SLOPE, DEPTH = (32.0, 1.0), 0.9, 61.0
"""The sector: position of the transducer (x, y), tangent of half the opening angle, radius."""
REACH = 48
"""Half the side of the square of tissue with speckle, centred on the cavity."""
CELLS = (10, 6)
"""Size of a speckle grain across and along the long axis, in texture samples."""
STEPS = 4
"""Texture samples per unit length."""
SPLINE = 4.0 * CELLS[0] ** 2 * CELLS[1] ** 2
"""Sum of the integer weights of the texture's B-splines."""
BLURS = (0.5, 1.5)
"""Range of σ, in pixels, of the blur that is applied to half of the training clips and to the flicker on them."""
FLICKER = 0.03
"""Largest standard deviation of that flicker, of full scale: noise that is independent in each frame, like that of
generators."""
COUNT = 20_000
"""Number of training and validation videos together."""
FIRST_TEST = 1_000_000
"""Number of the first test video."""
FPS = 8.0


@dataclass(frozen=True)
class Scene:
    """Everything that determines a video except its label; lengths in 1/64 of the side.

    Attributes:
        x: centre of the cavity.
        y: centre of the cavity, downwards.
        tilt: tangent of half the angle between the long axis and the vertical.
        short: semi-axis a at end diastole.
        long: semi-axis b at end diastole.
        wall: thickness of the wall at end diastole.
        gain: brightness of all tissue.
        period: frames from one end diastole to the next.
        speckle: random key of the speckle texture.
    """

    x: float
    y: float
    tilt: float
    short: float
    long: float
    wall: float
    gain: float
    period: int
    speckle: int


def scene(index: int, seed: int = 0) -> tuple[Scene, float]:
    """Scene ``index`` of a seed and its label, from the raw Philox stream, which NumPy guarantees to keep stable."""
    raw = np.random.Philox(key=[seed, index]).random_raw(10) >> np.uint64(11)
    draws = (raw * 2.0**-53).tolist()

    def between(low: float, high: float, draw: float) -> float:
        return low + (high - low) * draw

    content = Scene(
        x=between(28, 36, draws[1]),
        y=between(30, 35, draws[2]),
        tilt=between(-0.13, 0.13, draws[3]),
        short=between(8.5, 11, draws[4]),
        long=between(14, 17, draws[5]),
        wall=between(4, 6, draws[6]),
        gain=between(0.8, 1.1, draws[7]),
        period=tuple(SYSTOLE)[int(draws[8] * len(SYSTOLE))],
        speckle=int(raw[9]),
    )
    return content, between(VALUES.low, VALUES.high, draws[0])


def contraction(period: int) -> np.ndarray:
    """Contraction of the cavity in each frame of a beat, ``[period]`` in [0, 1].

    It rises smoothly from 0 at end diastole (frame 0) to 1 at end systole; the filling that follows is fast at first.
    """
    systole = SYSTOLE[period]
    eject = np.arange(systole) / systole
    fill = np.arange(systole, period)[::-1] - systole + 1.0
    return np.concatenate([eject * eject * (3 - 2 * eject), (fill / (period - systole)) ** 2])


def semi_axes(scene: Scene, ejection_fraction: float) -> np.ndarray:
    """Semi-axes (a, b) ``[period, 2]`` of the cavity over one beat, in 1/64 of the side.

    With the contraction c, the volume is ``V_ED (1 - EF c)`` and the long axis shortens by a quarter of EF c.
    """
    lost = contraction(scene.period) * (ejection_fraction / 100)
    long = 1 - SHORTENING * lost
    return np.stack([scene.short * np.sqrt((1 - lost) / long), scene.long * long], axis=1)


def speckle(key: int) -> np.ndarray:
    """Speckle texture of the tissue: smooth noise ``[n, n]`` from 0 to ``255 SPLINE``, rows along the long axis.

    Bytes of the raw Philox stream on a lattice are interpolated by quadratic B-splines with integer weights.
    """
    columns, rows = (_spline(2 * REACH * STEPS, cell) for cell in CELLS)
    shape = rows.shape[1], columns.shape[1]
    raw = np.random.Philox(key=[key, COUNT]).random_raw(-(-shape[0] * shape[1] // 8)).astype("<u8")
    lattice = raw.view(np.uint8)[: shape[0] * shape[1]].reshape(shape).astype(float)
    return rows @ lattice @ columns.T


@cache
def _spline(length: int, cell: int) -> np.ndarray:
    """Integer weights ``[length, lattice points]`` of a quadratic B-spline with knots ``cell`` samples apart."""
    weights = np.zeros((length, (length - 1) // cell + 3))
    for position in range(length):
        point, step = divmod(position, cell)
        left, right = (cell - step) ** 2, step**2
        weights[position, point : point + 3] = left, 2 * cell**2 - left - right, right
    return weights


def render(scene: Scene, axes: np.ndarray, size: int = 64) -> np.ndarray:
    """Render the scene's ventricle with semi-axes ``axes [T, 2]``: grey levels, uint8 ``[T, size, size]``.

    The area of the wall is constant, so that the wall is thicker around a smaller cavity. The displacement of tissue
    outside the cavity decreases with ``1 / r²``, as in an incompressible medium. The edges of cavity and sector are
    antialiased over one pixel.
    """
    pixel = 64 / size
    cells = (np.arange(size) + 0.5) * pixel
    secant = 1 + scene.tilt * scene.tilt
    cosine, sine = 2 / secant - 1, 2 * scene.tilt / secant
    dx, dy = cells[None, :] - scene.x, cells[:, None] - scene.y
    u, v = cosine * dx + sine * dy, cosine * dy - sine * dx

    short, long = axes[:, 0, None, None], axes[:, 1, None, None]
    across, along = u / short, v / long
    square = across * across + along * along
    root = np.sqrt(square)
    slope_u, slope_v = across / short, along / long
    depth = root * (root - 1) / np.sqrt(slope_u * slope_u + slope_v * slope_v)
    wall = wall_thickness(scene, axes)[:, None, None]
    inner = _covered(depth / pixel)
    outer = _covered((depth - wall) / BORDER)

    moved = 1 / np.maximum(square, 1)
    column = (u + (scene.short / short - 1) * moved * u + REACH) * STEPS
    row = (v + (scene.long / long - 1) * moved * v + REACH) * STEPS
    noise = speckle(scene.speckle)[row.astype(np.intp), column.astype(np.intp)]
    texture = 1 - CONTRAST + noise * (2 * CONTRAST / (255 * SPLINE))

    level = TISSUE + (WALL - TISSUE) * outer + (BLOOD - WALL) * inner
    grey = level * texture * (scene.gain * _fan(cells, pixel))
    return (np.minimum(grey, 255) + 0.5).astype(np.uint8)


def _covered(distance: np.ndarray) -> np.ndarray:
    """Covered fraction of a cell, from the distance of its centre to the edge (negative inside), in cells."""
    return np.minimum(np.maximum(0.5 - distance, 0), 1)


def wall_thickness(scene: Scene, axes: np.ndarray) -> np.ndarray:
    """Thickness w of the wall ``[T]``, such that ``(a + w)(b + w) - a b`` keeps its value at end diastole."""
    kept = scene.wall * (scene.short + scene.long + scene.wall)
    half = axes.sum(1) / 2
    return np.sqrt(half * half + kept) - half


def _fan(cells: np.ndarray, pixel: float) -> np.ndarray:
    """Brightness ``[size, size]`` of the sector at unit reflection: 0 outside, decreasing with depth inside."""
    x, y = cells[None, :] - APEX[0], cells[:, None] - APEX[1]
    depth = np.sqrt(x * x + y * y)
    side = (SLOPE * y - abs(x)) / np.sqrt(1 + SLOPE * SLOPE)
    inside = np.minimum(side, DEPTH - depth)
    return _covered(-inside / pixel) * (1 - ATTENUATION * depth / DEPTH)


@validated(frozen=True, config={"extra": "forbid"})
class EchoPhantomParams:
    """``frames`` (at 8 fps) and ``size`` (pixels) set the clip format; another ``seed`` yields 20,000 other scenes."""

    frames: int = Field(default=17, ge=17)
    size: int = Field(default=64, ge=64)
    seed: int = Field(default=0, ge=0)


class EchoPhantom(Dataset):
    """A beating left ventricle in simulated ultrasound; regression of the ejection fraction, with planimetry as oracle.

    Of the first ``COUNT`` videos, those with ``k % 5 == 4`` are for validation and the others for training. The test
    videos are ``COUNT // 5`` more, from number ``FIRST_TEST`` on.
    """

    Params = EchoPhantomParams
    params: EchoPhantomParams
    values = VALUES
    target = "phantom_swin"
    generator = "wan_echo_phantom"
    transfer_targets = ("phantom_swin", "phantom_c3d")

    def __init__(self, params: EchoPhantomParams | None = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, self.params.size, self.params.size)

    def size(self, split: Split) -> int:
        return COUNT * 4 // 5 if split == "train" else COUNT // 5

    def labels_of(self, split: Split) -> list[float]:
        """Ejection fractions of all videos of the split, in order."""
        return [scene(self.number(split, index), self.params.seed)[1] for index in range(self.size(split))]

    def number(self, split: Split, index: int) -> int:
        """Number of the video at ``index`` of the split, among all videos.

        Raises:
            IndexError: the split has no such index.
        """
        if not 0 <= index < self.size(split):
            raise IndexError(f"{split} has {self.size(split)} videos, no index {index}")
        if split == "test":
            return FIRST_TEST + index
        return 5 * index + 4 if split == "validation" else index // 4 * 5 + index % 4

    def pixels(self, scene: Scene, ejection_fraction: float) -> np.ndarray:
        """The scene rendered with an ejection fraction (percent), uint8 ``[T, 3, H, W]``; all beats are identical."""
        beat = render(scene, semi_axes(scene, ejection_fraction), self.params.size)
        clip = beat[np.arange(self.params.frames) % scene.period]
        return np.repeat(clip[:, None], 3, axis=1)

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content, label = scene(number, self.params.seed)
        video = torch.from_numpy(self.pixels(content, label)).float() / 255
        return Sample(f"{number:05d}", video, label, FPS, asdict(content))

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, float]:
        """Half of the clips are blurred and get flicker noise: a target should rely on the chamber's outline and not on
        fine grain, which generators do not preserve."""
        sample = self.sample("train", index)
        if rng.random() < 0.5:
            return sample.video, float(sample.label)
        frames, _, *sides = sample.video.shape
        grain = torch.from_numpy(rng.standard_normal((frames, 1, *sides), np.float32))
        blurred, grain = (gaussian_blur(x, [7, 7], [rng.uniform(*BLURS)] * 2) for x in (sample.video, grain))
        flicker = grain * (FLICKER * rng.random() / float(grain.std()))
        return (blurred + flicker).clamp(0, 1), float(sample.label)

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("echo_phantom.md").read_text()

    def planimetry(self, sample: Sample, video: Tensor) -> Planimetry | None:
        """Measurements of the chamber in ``video``, an edit of ``sample``, or None (see ``echo_planimetry``)."""
        content = Scene(**sample.attributes)
        return planimetry(
            video.clamp(0, 1).mean(1).numpy() * 255,
            centre=(content.x, content.y),
            blood=BLOOD * content.gain,
            wall=WALL * content.gain,
        )

    def oracle(self, sample: Sample, video: Tensor) -> float | None:
        measured = self.planimetry(sample, video)
        return None if measured is None else measured.ejection_fraction

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        if not isinstance(goal, ValueGoal):
            raise NotImplementedError(f"the echo phantom renders ejection fractions, not {goal}")
        low, high = RENDERED
        if not low <= goal.value <= high:
            raise NotImplementedError(f"the echo phantom renders ejection fractions of {low:g} to {high:g}, not {goal}")
        return torch.from_numpy(self.pixels(Scene(**sample.attributes), goal.value)).float() / 255
