"""An invisible mark of a few letters in every frame, where the package invisible-watermark looks for one ("dwtDct").

It is in the colours, not the brightness: of each 8×8 pixels the largest coefficient of the first Haar wavelet band of
U is moved into the lower or upper half of a step of 36, for a 0 or a 1, and the letters' bits follow each other from
block to block, row by row. Reading counts what most blocks of all frames say, so that it outlasts compression. It
proves nothing against somebody who wants it gone. Knows pixels; nothing of files, recipes or models.
Source of the layout: ShieldMnt/invisible-watermark, `maxDct.py`.
"""

from __future__ import annotations

import numpy as np

from svdlab.clips.frames import checked
from svdlab.environment import MARK_WANTED, mark_text
from svdlab.errors import BadInput

STEP = 36.0
# Where in its half of a step a coefficient is put. Not in the middle: a video keeps a quarter of the colours' pixels,
# so what stands out from its neighbours comes back lower, by a third and more. Read back from H.264, 51, 65, 80 and
# 85 % of the blocks said the right bit with 0.25, 0.33, 0.40 and 0.44.
PLACE = 0.44
AHEAD = 8.0  # by which the coefficient that is read is larger than the others of its block
BLOCK = 4  # coefficients a side, 8 pixels
U_OF_RGB = np.array([-0.147, -0.289, 0.436])  # without its offset of 128
RGB_OF_U = np.array([0.0, -0.395, 2.032])


def embed(frames: np.ndarray, text: str) -> np.ndarray:
    """Frames with the letters in them: (frames, height, width, 3) uint8, what is given left as it is.

    Every clip of ours has room for 8. Raises `BadInput` for another text, or frames with fewer blocks than bits.
    """
    bits = bits_of(text)
    frames = checked(frames)
    _check_room(frames, len(bits))
    return np.stack([_embedded(frame, bits) for frame in frames])


def read(frames: np.ndarray, letters: int) -> bytes:
    """What all frames together say, for a mark of so many letters; of frames without one, anything.

    Raises `BadInput` for frames with fewer blocks than bits.
    """
    frames = checked(frames)
    count = 8 * letters
    _check_room(frames, count)
    ones = np.zeros(count)
    votes = np.zeros(count)
    for frame in frames:
        blocks = _blocks(_band(frame))
        _, values = _largest(blocks)
        said = np.abs(values) % STEP > STEP / 2
        place = np.arange(len(said)) % count
        ones += np.bincount(place, said, count)
        votes += np.bincount(place, minlength=count)
    return np.packbits(ones / votes > 0.5).tobytes()


def bits_of(text: str) -> np.ndarray:
    """The bits of a mark. Raises `BadInput`."""
    try:
        text = mark_text(text)
    except ValueError:
        raise BadInput(f"a watermark must be {MARK_WANTED}, got {text[:40]!r}") from None
    return np.unpackbits(np.frombuffer(text.encode("ascii"), np.uint8))


def _embedded(frame: np.ndarray, bits: np.ndarray) -> np.ndarray:
    band = _band(frame)
    blocks = _blocks(band)
    moved = _moved(blocks, np.resize(bits, len(blocks)))
    rows, columns = band.shape[0] // BLOCK, band.shape[1] // BLOCK
    change = (moved - blocks).reshape(rows, columns, BLOCK, BLOCK)
    change = change.swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK)
    shift = np.zeros(frame.shape[:2])
    pixels = np.kron(change / 2, np.ones((2, 2)))  # a coefficient is half the sum of its four pixels
    shift[: pixels.shape[0], : pixels.shape[1]] = pixels
    marked = frame + shift[..., None] * RGB_OF_U
    return np.rint(marked).clip(0, 255).astype(np.uint8)


def _moved(blocks: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Blocks whose largest coefficient says the bit and stays the largest: whichever of two ways changes less.

    Either it goes up to the next step, or down to the one before, and then the others must keep below it.
    """
    at, values = _largest(blocks)
    place = np.arange(len(blocks))
    below = (np.floor((values / STEP) - PLACE - 0.5 * bits) + PLACE + 0.5 * bits) * STEP
    ways = []
    for wanted in (below, below + STEP):
        way = np.minimum(blocks, wanted[:, None] - AHEAD)
        way[:, 0] = blocks[:, 0]  # not looked at by whoever reads
        way[place, at] = wanted
        ways.append(way)
    down, up = ways
    cost = [((way - blocks) ** 2).sum(axis=1) for way in ways]
    return np.where((cost[0] < cost[1])[:, None], down, up)


def _band(frame: np.ndarray) -> np.ndarray:
    """The low band of U's Haar wavelet: (height/2, width/2), of whole groups of four pixels a side."""
    height, width = (side // 4 * 4 for side in frame.shape[:2])
    u = np.rint(frame[:height, :width] @ U_OF_RGB + 128).clip(0, 255)
    return u.reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3)) / 2


def _blocks(band: np.ndarray) -> np.ndarray:
    """Each whole block in a row of its own: (blocks, 16)."""
    rows, columns = band.shape[0] // BLOCK, band.shape[1] // BLOCK
    whole = band[: rows * BLOCK, : columns * BLOCK]
    return whole.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)


def _largest(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each block's largest coefficient but the first is, and what it is."""
    at = np.abs(blocks[:, 1:]).argmax(axis=1) + 1
    return at, blocks[np.arange(len(blocks)), at]


def _check_room(frames: np.ndarray, bits: int) -> None:
    blocks = (frames.shape[1] // 8) * (frames.shape[2] // 8)
    if blocks < bits:
        raise BadInput(f"a frame of {frames.shape[2]}×{frames.shape[1]} has no room for {bits // 8} letters")
