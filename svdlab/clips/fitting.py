"""How a picture meets a clip's shape: what a crop covers, where a padded picture lies, and the pixels of both.

Knows sizes and Pillow; nothing of files, models or screens. There is one rounding rule: to the nearest pixel, halves
to the even one. `tests/clips/crop_cases.json` holds what that gives, and whoever works out a crop elsewhere (a page's
script, a workflow for another program) is tested on the same cases.
"""

from __future__ import annotations

from numbers import Integral

from PIL import Image

from svdlab.errors import BadPicture

FITS = ("crop", "pad", "stretch")
RESAMPLE = Image.Resampling.LANCZOS

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, as Pillow has it


def fit_box(
    width: int, height: int, target_width: int, target_height: int, focus_x: float = 0.5, focus_y: float = 0.5
) -> Box:
    """The crop in source pixels that has the target's shape.

    It is as large as fits; `focus_x` and `focus_y` (0 to 1) slide it along the axis that has room.
    Raises `BadPicture` for sizes below 1 and a focus outside 0 to 1.
    """
    _check_sizes(width, height, target_width, target_height)
    for knob, focus in (("focus_x", focus_x), ("focus_y", focus_y)):
        if not 0 <= focus <= 1:  # NaN as well
            raise BadPicture(f"{knob} must be between 0 and 1, got {focus}")
    box_width = min(width, max(1, round(height * target_width / target_height)))
    box_height = min(height, max(1, round(width * target_height / target_width)))
    left, top = round((width - box_width) * focus_x), round((height - box_height) * focus_y)
    return left, top, left + box_width, top + box_height


def pad_box(width: int, height: int, target_width: int, target_height: int) -> Box:
    """Where the whole picture lies in a padded clip, in the clip's pixels: in the middle, as large as fits.

    Where the bars cannot be equal, the one on the right or below is a pixel larger. Raises `BadPicture`.
    """
    _check_sizes(width, height, target_width, target_height)
    scale = min(target_width / width, target_height / height)
    inner = min(target_width, max(1, round(width * scale))), min(target_height, max(1, round(height * scale)))
    left, top = (target_width - inner[0]) // 2, (target_height - inner[1]) // 2
    return left, top, left + inner[0], top + inner[1]


def cut_share(width: int, height: int, target_width: int, target_height: int) -> float:
    """How much of the picture's area a crop leaves out, 0 to 1. Raises `BadPicture`."""
    left, top, right, bottom = fit_box(width, height, target_width, target_height)
    return 1.0 - (right - left) * (bottom - top) / (width * height)


def fit_picture(
    image: Image.Image, width: int, height: int, fit: str = "crop", focus_x: float = 0.5, focus_y: float = 0.5
) -> Image.Image:
    """The picture at exactly width × height, RGB.

    `crop` keeps the shape and cuts what is outside `fit_box`; `stretch` squeezes the whole picture in;
    `pad` puts the whole picture into `pad_box`, between black bars. Black, because film is letterboxed in
    black and web video is full of it: bars read as bars and stay still, and can be cut off afterwards.
    Bars in the picture's own colours read as sky or wall, which the model may set in motion. (Reasoned
    from the training data, not measured.) Raises `BadPicture`.
    """
    box = fit_box(*image.size, width, height, focus_x, focus_y)
    image = image if image.mode == "RGB" else image.convert("RGB")
    if fit == "crop":
        return image.resize((width, height), RESAMPLE, box=box)
    if fit == "stretch":
        return image.resize((width, height), RESAMPLE)
    if fit != "pad":
        raise BadPicture(f"fit must be {', '.join(FITS[:-1])} or {FITS[-1]}, got {fit!r}")
    left, top, right, bottom = pad_box(*image.size, width, height)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(image.resize((right - left, bottom - top), RESAMPLE), (left, top))
    return canvas


def _check_sizes(width: int, height: int, target_width: int, target_height: int) -> None:
    sizes = {"width": width, "height": height, "target_width": target_width, "target_height": target_height}
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise BadPicture(f"{name} must be a whole number of pixels, 1 or more, got {size}")
