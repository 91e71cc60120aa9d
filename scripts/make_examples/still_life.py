"""Fruit in a bowl, a vase with eucalyptus, soft light from a window: traced with soft shadows and one bounce."""

from __future__ import annotations

import numpy as np
from canvas import Array, bloom, colour, fbm, finish, mix, noise, smooth
from fruit import arrange
from tracer import Cluster, Solid, denoise, trace, unit

WIDTH, HEIGHT = 1280, 720
PASSES = 16
EYE, LOOK, ZOOM = np.float32([0.35, 3.6, -11.5]), np.float32([0.30, 1.98, 0.0]), 1.47
WALL = 4.2  # behind the table
LIGHT, ACROSS, DOWN = (
    np.float32([-7.5, 6.6, -4.2]),
    np.float32([1.75, 0, -1.9]),
    np.float32([0.55, 1.9, 0.45]),
)
POWER = np.float32([1.0, 0.87, 0.70]) * 46
ROOM = np.float32([0.040, 0.046, 0.060])  # what comes from everywhere else


def paint() -> Array:
    scene = arrange()
    solids = [solid for cluster in scene for solid in cluster.solids]
    random = np.random.default_rng(5)
    light = np.zeros((HEIGHT * WIDTH, 3), np.float32)
    bounced, mirrored, albedo, normal = (np.zeros_like(light) for _ in range(4))
    depth, shares = np.zeros(HEIGHT * WIDTH, np.float32), np.zeros(HEIGHT * WIDTH, np.float32)
    offset = random.random((HEIGHT * WIDTH, 4)).astype(np.float32)
    for n in range(PASSES):
        along = _camera(n)
        origin = np.broadcast_to(EYE, along.shape)
        point, facing, look, far = _see(scene, solids, origin, along)
        albedo += look[0] / PASSES
        normal += facing / PASSES
        depth += far / PASSES
        spot = (offset[:, :2] + n * np.float32([0.7548777, 0.5698403])) % 1  # Roberts' R2 sequence
        light += _direct(scene, point, facing, spot) / PASSES
        mirrored += _mirror(scene, point, facing, along, look, random) / PASSES
        some = np.flatnonzero(_quarter(n))
        turn = (offset[some, 2:] + (n // 4) * np.float32([0.7548777, 0.5698403])) % 1
        bounced[some] += _bounce(scene, solids, point[some], facing[some], turn, random)
        shares[some] += 1
    square = (HEIGHT, WIDTH, 3)
    guide = unit(normal).reshape(square)
    soft = denoise((bounced / shares[:, None]).reshape(square), guide, depth.reshape(square[:2]), 5)
    direct = denoise(light.reshape(square), guide, depth.reshape(square[:2]), 1)
    gloss = denoise(mirrored.reshape(square), guide, depth.reshape(square[:2]), 1)
    image = albedo.reshape(square) * (direct + soft) / np.pi + gloss
    image = np.repeat(np.repeat(image, 2, 0), 2, 1)  # `finish` halves it again
    return finish(bloom(image, 0.9, 0.16), exposure=1.85, vignette=0.33, grain=0.009)


def _camera(n: int) -> Array:
    shift = ((n + 0.5) * np.array([0.7548777, 0.5698403])) % 1
    x = (np.arange(WIDTH) + shift[0] - WIDTH / 2) / HEIGHT / ZOOM
    y = (HEIGHT / 2 - np.arange(HEIGHT) - shift[1]) / HEIGHT / ZOOM
    ahead = (LOOK - EYE) / np.linalg.norm(LOOK - EYE)
    right = np.cross(np.float32([0, 1, 0]), ahead)
    right /= np.linalg.norm(right)
    up = np.cross(ahead, right)
    return unit((ahead + x[None, :, None] * right + y[:, None, None] * up).reshape(-1, 3).astype(np.float32))


def _quarter(n: int) -> Array:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[n // 2 % 2 :: 2, n % 2 :: 2] = True
    return mask.ravel()


def _see(
    scene: tuple[Cluster, ...], solids: list[Solid], origin: Array, along: Array
) -> tuple[Array, Array, tuple[Array, Array, Array], Array]:
    """Point, normal, look (albedo, shine, roughness) and distance of what each ray meets."""
    with np.errstate(divide="ignore"):
        table = np.where(along[:, 1] < -1e-5, -origin[:, 1] / along[:, 1], 1e5)
        wall = np.where(along[:, 2] > 1e-5, (WALL - origin[:, 2]) / along[:, 2], 1e5)
    back = wall < table
    far, who = trace(scene, origin, along, np.minimum(np.minimum(table, wall), 60))
    point = origin + along * far[:, None]
    facing = np.where(back[:, None], np.float32([0, 0, -1]), np.float32([0, 1, 0])).astype(np.float32)
    albedo = np.zeros_like(point)
    shine, rough = np.zeros(len(far), np.float32), np.full(len(far), 0.3, np.float32)
    on_wall, on_table = (
        np.flatnonzero((who < 0) & back & (far < 59)),
        np.flatnonzero((who < 0) & ~back & (far < 59)),
    )
    albedo[on_wall] = _plaster(point[on_wall])
    albedo[on_table], facing[on_table] = _wood(point[on_table])
    shine[on_table], rough[on_table] = 0.035, 0.16
    for number, solid in enumerate(solids):
        at = np.flatnonzero(who == number)
        if len(at):
            facing[at] = solid.normals(point[at])
            look = solid.paint(solid.local(point[at]), facing[at])
            albedo[at], shine[at], rough[at] = look.albedo, look.shine, look.rough
    return point + facing * 4e-3, facing, (albedo, shine, rough), far


def _direct(scene: tuple[Cluster, ...], point: Array, facing: Array, spot: Array) -> Array:
    """Irradiance from one place on the window."""
    lamp = LIGHT + (spot[:, :1] * 2 - 1) * ACROSS + (spot[:, 1:] * 2 - 1) * DOWN
    toward = lamp - point
    away = np.linalg.norm(toward, axis=1)
    toward = toward / away[:, None]
    front = unit(np.cross(ACROSS, DOWN)[None])[0]
    cosine = np.clip(np.einsum("ij,ij->i", toward, facing), 0, None) * np.abs(toward @ front)
    lit = np.flatnonzero(cosine > 1e-4)
    _, who = trace(scene, point[lit], toward[lit], away[lit])
    out = np.zeros_like(point)
    free = lit[who < 0]
    area = 4 * np.linalg.norm(np.cross(ACROSS, DOWN))
    out[free] = (cosine[free] / away[free] ** 2 * area)[:, None] * POWER / 4
    return out


def _mirror(
    scene: tuple[Cluster, ...],
    point: Array,
    facing: Array,
    along: Array,
    look: tuple[Array, Array, Array],
    random: np.random.Generator,
) -> Array:
    """The window, with its bars, as shiny things show it; and a little of the room."""
    _, shine, rough = look
    out = np.zeros_like(point)
    at = np.flatnonzero(shine > 0)
    bumpy = unit(facing[at] + rough[at, None] * random.standard_normal((len(at), 3)).astype(np.float32) * 0.5)
    down = np.einsum("ij,ij->i", along[at], bumpy)
    toward = along[at] - 2 * down[:, None] * bumpy
    grazing = np.clip(1 + np.einsum("ij,ij->i", along[at], facing[at]), 0, 1) ** 5
    share = shine[at] + (1 - shine[at]) * 0.22 * grazing * np.clip(1 - 5 * rough[at], 0, 1)
    front = np.cross(ACROSS, DOWN)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = ((LIGHT - point[at]) @ front) / (toward @ front)
        place = point[at] + toward * far[:, None] - LIGHT
    u, v = place @ ACROSS / (ACROSS @ ACROSS), place @ DOWN / (DOWN @ DOWN)
    pane = (np.abs(u) < 1) & (np.abs(v) < 1) & (np.abs(u) > 0.06) & (np.abs(v - 0.2) > 0.05) & (far > 0)
    pane = np.flatnonzero(pane)
    _, who = trace(scene, point[at[pane]], toward[pane], far[pane])
    room = ROOM * (0.9 + 1.4 * smooth(-0.2, 0.8, toward[:, 1]))[:, None]
    room = mix(
        room, ROOM * 2.2 + np.float32([0.10, 0.07, 0.045]), smooth(0.05, -0.3, toward[:, 1])[:, None]
    )  # the table
    out[at] = room * share[:, None]
    free = pane[who < 0]
    out[at[free]] = POWER / 4 * share[free, None] * 0.55
    return out


def _bounce(
    scene: tuple[Cluster, ...],
    solids: list[Solid],
    point: Array,
    facing: Array,
    turn: Array,
    random: np.random.Generator,
) -> Array:
    """Irradiance by way of one other surface."""
    angle, height = 2 * np.pi * turn[:, 0], 1 - 2 * turn[:, 1]
    flat = np.sqrt(np.maximum(1 - height**2, 0))
    ball = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], 1).astype(np.float32)
    along = unit(facing + ball * 0.999)  # cosine distributed
    other, normal, look, far = _see(scene, solids, point, along)
    incoming = look[0] * (
        _direct(scene, other, normal, random.random((len(point), 2)).astype(np.float32)) / np.pi + ROOM
    )
    incoming[far >= 59] = ROOM * 1.6
    return incoming * np.pi


# What things are made of


def _plaster(point: Array) -> Array:
    x, y = point[:, 0], point[:, 1]
    tone = fbm(x * 0.5, y * 0.5, 6, 700) * 0.5 + 0.12 * fbm(x * 5, y * 5, 3, 706)
    return mix(colour("58655f"), colour("8b968a"), np.clip(0.45 + tone, 0, 1)[:, None])


def _wood(point: Array) -> tuple[Array, Array]:
    x, z = point[:, 0], point[:, 2]
    board = np.floor(z / 1.55 + 0.35)
    edge = np.abs((z / 1.55 + 0.35) % 1 - 0.5)
    shift = board * 7.3
    rings = fbm(x * 0.22 + shift, z * 1.6 + shift, 4, 710) * 7
    grain = 0.5 + 0.5 * np.sin(rings * 3 + 0.8 * noise(x * 1.2, z * 14, 715))
    fibre = fbm(x * 1.4 + shift, z * 34, 3, 716)
    wood = mix(
        colour("8a5a34"), colour("4f2f1a"), (np.clip(0.35 * grain + 0.35 * fibre + 0.30, 0, 1))[:, None]
    )
    wood = wood * (0.85 + 0.3 * np.modf(np.abs(np.sin(board * 12.9)) * 438.5)[0])[:, None]
    gap = smooth(0.490, 0.497, edge)
    wood = wood * (1 - 0.85 * gap)[:, None]
    tilt = np.stack([0.02 * noise(x * 3, z * 22, 718), np.ones_like(x), 0.05 * fibre * 0.5], 1)
    return wood.astype(np.float32), unit(tilt.astype(np.float32))
