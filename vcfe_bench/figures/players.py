"""Videos that play in step inside one piece of HTML, as a notebook shows it."""

from __future__ import annotations

import base64
import tempfile
import uuid
from collections.abc import Sequence
from html import escape
from pathlib import Path

from torch import Tensor

from vcfe_bench.figures.side_by_side import write_mp4

SHORTEST = 96
"""Smaller videos are shown at this height, in pixels of the page, as whole multiples of their own."""
SCRIPT = """(() => {{
  const all = [...document.querySelectorAll('#{name} video')];
  const still = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
  const first = all[0];
  first.addEventListener('play', () => all.forEach(v => {{ v.currentTime = first.currentTime; v.play(); }}));
  first.addEventListener('pause', () => all.forEach(v => {{ v.pause(); v.currentTime = first.currentTime; }}));
  first.addEventListener('seeked', () => all.forEach(v => {{ if (v !== first) v.currentTime = first.currentTime; }}));
  const button = document.querySelector('#{name} button');
  button.addEventListener('click', () => first.paused ? first.play() : first.pause());
  if (!still) first.play();
}})();"""


def in_step(videos: Sequence[tuple[str, Tensor]], fps: float, caption: str = "") -> str:
    """HTML with uint8 ``[T, 3, H, W]`` videos of one length next to each other, each below its title.

    They are embedded as H.264, play in a loop and in step, and are paused where the browser asks for little motion.
    """
    name = f"vcfe-{uuid.uuid4().hex[:12]}"
    cells = "".join(
        f'<figure style="margin:0 8px 8px 0;text-align:center"><figcaption>{escape(title)}</figcaption>'
        f'<video muted loop playsinline height="{_shown(pixels)}" style="image-rendering:pixelated" '
        f'aria-label="{escape(title)}" src="{_data(pixels, fps)}"></video></figure>'
        for title, pixels in videos
    )
    head = f"<div>{escape(caption)}</div>" if caption else ""
    return (
        f'<div id="{name}">{head}<div style="display:flex;flex-wrap:wrap">{cells}</div>'
        f'<button type="button">Play / pause</button></div><script>{SCRIPT.format(name=name)}</script>'
    )


def _shown(pixels: Tensor) -> int:
    height = int(pixels.shape[2])
    return height * -(-SHORTEST // height)


def _data(pixels: Tensor, fps: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "video.mp4"
        write_mp4(file, pixels, fps)
        return f"data:video/mp4;base64,{base64.b64encode(file.read_bytes()).decode()}"
