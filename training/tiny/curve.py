"""Draws the loss of one or more runs, one after the other, as an image.

python -m lumosx_training.tiny.curve curve.png runs/tiny-phase1/log.jsonl runs/tiny-phase2/log.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw

SIZE, MARGIN = (720, 360), 48
WINDOW = 50  # steps of the running mean


def main() -> None:
    """Read the logs and draw the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG.jsonl")
    options = parser.parse_args()
    draw([read_losses(path) for path in options.logs]).save(options.out)


def read_losses(path: Path) -> list[float]:
    """The loss of each step of a log."""
    return [json.loads(line)["loss"] for line in path.read_text().splitlines()]


def draw(runs: list[list[float]]) -> Image.Image:
    """The running mean of the loss over all steps; a line where a new run begins."""
    losses = [loss for run in runs for loss in run]
    means = [sum(losses[max(0, i - WINDOW + 1) : i + 1]) / min(WINDOW, i + 1) for i in range(len(losses))]
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    top = max(means)
    width, height = SIZE[0] - 2 * MARGIN, SIZE[1] - 2 * MARGIN

    def place(step: float, loss: float) -> tuple[float, float]:
        return MARGIN + width * step / max(1, len(losses)), MARGIN + height * (1 - loss / top)

    for level in range(5):
        value = top * level / 4
        pen.line([place(0, value), place(len(losses), value)], "lightgrey")
        pen.text((6, place(0, value)[1] - 6), f"{value:.2f}", "black")
        step = len(losses) * level // 4
        pen.text((place(step, 0)[0] - 12, SIZE[1] - MARGIN + 8), str(step), "black")
    start = 0
    for run in runs[:-1]:
        start += len(run)
        pen.line([place(start, 0), place(start, top)], "grey")
    pen.line([place(step, mean) for step, mean in enumerate(means)], "royalblue", 2)
    pen.text((MARGIN, 12), f"loss (mean of {WINDOW} steps) over steps; a vertical line begins a phase", "black")
    return image


if __name__ == "__main__":
    main()
