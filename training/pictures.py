"""Pictures made by procedure: skies, hills, buildings, foliage, still lifes, lit and textured.

Knows numpy and OpenCV; downloads nothing.

A picture is (height, width, 3) float32 RGB in 0…1. They are not photographs, but their spectra, edges, gradients,
grain and lighting are spread widely enough that a model trained on them alone also serves photographs.
"""

from __future__ import annotations

import cv2
import numpy as np

BANK_SIDE = 512  # side of a stored texture, pixels


def fractal(rng: np.random.Generator, side: int, beta: float, stretch: float = 1.0) -> np.ndarray:
    """Noise with a 1/f^beta amplitude spectrum, (side, side) float32, mean 0 and deviation 1; it tiles."""
    fx = np.fft.rfftfreq(side)[None, :] * stretch
    fy = np.fft.fftfreq(side)[:, None]
    f = np.hypot(fx, fy)
    f[0, 0] = 1.0
    spectrum = (rng.standard_normal(f.shape) + 1j * rng.standard_normal(f.shape)) / f**beta
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, s=(side, side))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


class PictureMaker:
    """Draws an endless series of pictures of one size from one random generator."""

    def __init__(self, rng: np.random.Generator, width: int = 320, height: int = 208, textures: int = 40):
        if max(width, height) > BANK_SIDE:
            raise ValueError(f"a picture must fit in {BANK_SIDE}×{BANK_SIDE}, got {width}×{height}")
        self.rng, self.width, self.height = rng, width, height
        self.bank = [
            fractal(rng, BANK_SIDE, rng.uniform(0.8, 2.0), float(np.exp(rng.normal(0, 0.5))))
            for _ in range(textures)
        ]
        self.bank += [self._pattern() for _ in range(textures // 4)]
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float32)

    def __call__(self) -> np.ndarray:
        scene = self.rng.choice(
            [self._landscape, self._street, self._still_life, self._surface], p=[0.35, 0.25, 0.25, 0.15]
        )
        picture = scene()
        for _ in range(self.rng.integers(0, 4)):
            picture = self._thing(picture)
        return self._photograph(picture)

    # --- materials

    def _pattern(self) -> np.ndarray:
        """Stripes, checks or tiles, bent by noise."""
        rng = self.rng
        y, x = np.mgrid[0:BANK_SIDE, 0:BANK_SIDE].astype(np.float32)
        angle, period = rng.uniform(0, np.pi), rng.uniform(5, 40)
        bend = self.bank[rng.integers(len(self.bank))] * rng.uniform(0, 6)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle) + bend) / period)
        if rng.random() < 0.5:
            wave = wave * np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle) + bend) / period)
        return np.clip(wave * rng.uniform(1, 4), -1, 1).astype(np.float32)

    def _texture(self) -> np.ndarray:
        texture = self.bank[self.rng.integers(len(self.bank))]
        top = self.rng.integers(0, BANK_SIDE - self.height + 1)
        left = self.rng.integers(0, BANK_SIDE - self.width + 1)
        crop = texture[top : top + self.height, left : left + self.width]
        return crop[:, ::-1] if self.rng.random() < 0.5 else crop

    def _colour(self, brightness: float | None = None, saturation: float = 0.12) -> np.ndarray:
        level = self.rng.uniform(0.05, 0.95) if brightness is None else brightness
        return (level + self.rng.normal(0, saturation, 3)).astype(np.float32)

    def _material(self, colour: np.ndarray, strength: float = 0.1) -> np.ndarray:
        """A surface of one colour: one or two textures and a slope of light."""
        rng = self.rng
        grey = np.ones(3, np.float32)
        out = np.broadcast_to(colour, (self.height, self.width, 3)).astype(np.float32).copy()
        for _ in range(rng.integers(1, 3)):
            tint = grey + rng.normal(0, 0.3, 3).astype(np.float32)
            out += (self._texture() * abs(rng.normal(0, strength)))[..., None] * tint
        angle = rng.uniform(0, 2 * np.pi)
        slope = (self.x / self.width - 0.5) * np.cos(angle) + (self.y / self.height - 0.5) * np.sin(angle)
        return out + (slope * rng.normal(0, 0.25))[..., None] * (
            grey + rng.normal(0, 0.3, 3).astype(np.float32)
        )

    def _blend(self, below: np.ndarray, above: np.ndarray, mask: np.ndarray, soft: float = 0.7) -> np.ndarray:
        mask = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.3, soft))[..., None]
        return below + (above - below) * mask

    # --- scenes

    def _sky(self) -> np.ndarray:
        rng = self.rng
        height = (self.y / self.height)[..., None]
        top, low = self._colour(rng.uniform(0.15, 0.8)), self._colour(rng.uniform(0.4, 0.95))
        top[2] += rng.uniform(0, 0.25)
        sky = top * (1 - height) + low * height
        clouds = np.clip(self._texture() * rng.uniform(0.3, 1.2) + rng.normal(0, 0.6), 0, 1)[..., None]
        sky = sky + (self._colour(rng.uniform(0.6, 1.0), 0.03) - sky) * clouds * rng.uniform(0, 0.9)
        if rng.random() < 0.3:
            sky = self._glow(sky, rng.uniform(4, 30))
        return sky.astype(np.float32)

    def _ridge(self, level: float, roughness: float) -> np.ndarray:
        """Mask of everything below a wandering line."""
        steps = self.rng.normal(0, 1, self.width + 64)
        line = np.cumsum(steps - steps.mean())
        line = cv2.GaussianBlur(line[None].astype(np.float32), (0, 0), self.rng.uniform(0.6, 12))[
            0, 32 : 32 + self.width
        ]
        return self.y > level * self.height + line[None] * roughness

    def _landscape(self) -> np.ndarray:
        rng = self.rng
        picture = self._sky()
        level = rng.uniform(0.25, 0.6)
        for _ in range(rng.integers(1, 4)):
            ground = self._material(self._colour(rng.uniform(0.1, 0.7)), 0.14)
            picture = self._blend(picture, ground, self._ridge(level, rng.uniform(0, 5)))
            level += rng.uniform(0.08, 0.3)
        if rng.random() < 0.3:
            picture = self._mirror(picture)
        if rng.random() < 0.5:
            picture = self._foliage(picture)
        return picture

    def _mirror(self, picture: np.ndarray) -> np.ndarray:
        """Water: the upper part upside down, darker and rippled."""
        shore = int(self.height * self.rng.uniform(0.5, 0.75))
        water = picture.copy()
        ripple = self._texture() * self.rng.uniform(0, 3)
        source = np.clip(2 * shore - self.y + ripple, 0, shore - 1).astype(np.float32)
        reflected = cv2.remap(
            picture,
            (self.x + ripple).astype(np.float32),
            source,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        water[shore:] = reflected[shore:] * self.rng.uniform(0.5, 0.9)
        return water

    def _foliage(self, picture: np.ndarray) -> np.ndarray:
        rng = self.rng
        leaves = (
            self._texture() + (self.y / self.height - rng.uniform(0.1, 0.9)) * rng.normal(0, 4)
        ) > rng.uniform(0.5, 1.5)
        return self._blend(picture, self._material(self._colour(rng.uniform(0.05, 0.5)), 0.15), leaves, 0.5)

    def _street(self) -> np.ndarray:
        rng = self.rng
        picture = self._sky()
        horizon = self.height * rng.uniform(0.45, 0.85)
        for _ in range(rng.integers(2, 8)):
            picture = self._building(picture, horizon + rng.uniform(-6, 6))
        picture = self._blend(
            picture, self._material(self._colour(rng.uniform(0.2, 0.7)), 0.1), self.y > horizon
        )
        for _ in range(rng.integers(0, 4)):
            picture = self._line(picture)
        return picture

    def _building(self, picture: np.ndarray, foot: float) -> np.ndarray:
        rng = self.rng
        width, tall = rng.uniform(20, 120), rng.uniform(20, 0.9 * self.height)
        left, roof = rng.uniform(-20, self.width - 10), foot - tall
        u, v = self.x - left, self.y - roof
        inside = (u > 0) & (u < width) & (v > 0) & (self.y < foot)
        wall = self._material(self._colour(), 0.06)
        pitch_x, pitch_y, fill = rng.uniform(7, 22), rng.uniform(8, 26), rng.uniform(0.3, 0.7)
        panes = ((u % pitch_x) < pitch_x * fill) & ((v % pitch_y) < pitch_y * fill) & (v > pitch_y * 0.4)
        lit = rng.random((64, 64)) < rng.uniform(0.1, 0.9)
        on = lit[(v // pitch_y).astype(int) % 64, (u // pitch_x).astype(int) % 64][..., None]
        glass = np.where(on, self._colour(rng.uniform(0.5, 0.95)), self._colour(rng.uniform(0.05, 0.4)))
        wall = np.where(panes[..., None], glass, wall)
        return self._blend(picture, wall, inside, 0.5)

    def _line(self, picture: np.ndarray) -> np.ndarray:
        """A pole, a wire or a lane mark."""
        rng = self.rng
        a, b = rng.uniform(0, self.width, 2), rng.uniform(0, self.height, 2)
        mask = np.zeros((self.height, self.width), np.float32)
        cv2.line(
            mask, (int(a[0]), int(b[0])), (int(a[1]), int(b[1])), 1.0, int(rng.integers(1, 6)), cv2.LINE_AA
        )
        return self._blend(picture, np.broadcast_to(self._colour(), picture.shape), mask, 0.4)

    def _still_life(self) -> np.ndarray:
        rng = self.rng
        picture = self._material(self._colour(), 0.08)
        if rng.random() < 0.6:
            picture = self._blend(
                picture, self._material(self._colour(), 0.1), self.y > self.height * rng.uniform(0.4, 0.8)
            )
        for _ in range(rng.integers(3, 10)):
            picture = self._thing(picture)
        return picture

    def _surface(self) -> np.ndarray:
        picture = self._material(self._colour(), 0.2)
        if self.rng.random() < 0.5:
            picture = self._blend(
                picture, self._material(self._colour(), 0.2), self._texture() > self.rng.normal(0, 0.7), 0.6
            )
        return picture

    def _thing(self, picture: np.ndarray) -> np.ndarray:
        """An ellipse, box or blob with shading, a highlight and a shadow on what lies behind."""
        rng = self.rng
        size = np.exp(rng.uniform(np.log(6), np.log(70)))
        cx, cy, angle = rng.uniform(0, self.width), rng.uniform(0, self.height), rng.uniform(0, np.pi)
        ratio = rng.uniform(0.4, 1.0)
        u = ((self.x - cx) * np.cos(angle) + (self.y - cy) * np.sin(angle)) / size
        v = ((self.y - cy) * np.cos(angle) - (self.x - cx) * np.sin(angle)) / (size * ratio)
        power = rng.choice([2.0, 2.0, 8.0])
        radius = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
        if rng.random() < 0.3:
            radius = radius + 0.15 * self._texture()
        shadow = np.clip(1.4 - np.roll(radius, (int(size * 0.15) + 1, int(size * 0.2) + 1), (0, 1)), 0, 1)[
            ..., None
        ]
        picture = picture * (1 - shadow * rng.uniform(0, 0.6))
        light = rng.uniform(0, 2 * np.pi)
        shade = 1 - rng.uniform(0, 0.6) * (u * np.cos(light) + v * np.sin(light)) * (radius < 1.2)
        body = self._material(self._colour(), 0.07) * shade[..., None]
        gloss = np.exp(-((u + 0.4) ** 2 + (v + 0.4) ** 2) / rng.uniform(0.01, 0.2)) * rng.uniform(0, 0.7)
        return self._blend(picture, body + gloss[..., None], radius < 1, rng.uniform(0.3, 1.5))

    def _glow(self, picture: np.ndarray, size: float) -> np.ndarray:
        rng = self.rng
        cx, cy = rng.uniform(0, self.width), rng.uniform(0, self.height)
        halo = np.exp(-np.hypot(self.x - cx, self.y - cy) / size)[..., None]
        return picture + halo * self._colour(rng.uniform(0.4, 1.0)) * rng.uniform(0.3, 1.0)

    # --- the camera's own marks

    def _photograph(self, picture: np.ndarray) -> np.ndarray:
        rng = self.rng
        if rng.random() < 0.25:
            picture = self._glow(picture, rng.uniform(10, 80))
        if rng.random() < 0.3:
            far = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 4))
            depth = np.clip(np.abs(self.y / self.height - rng.uniform(0, 1)) * rng.uniform(0, 3), 0, 1)[
                ..., None
            ]
            picture = picture + (far - picture) * depth
        corner = np.hypot(self.x / self.width - 0.5, self.y / self.height - 0.5)[..., None]
        picture = picture * (1 - rng.uniform(0, 0.5) * corner**2)
        picture = (picture - 0.5) * rng.uniform(0.7, 1.4) + 0.5 + rng.normal(0, 0.08)
        grey = picture.mean(2, keepdims=True)
        picture = grey + (picture - grey) * rng.uniform(0.2, 1.8)
        picture = np.clip(picture, 0, 1) ** rng.uniform(0.7, 1.5)
        if rng.random() < 0.5:
            picture = picture + rng.normal(0, rng.uniform(0, 0.02), picture.shape)
        if rng.random() < 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2))
        return np.clip(picture, 0, 1).astype(np.float32)
