"""The demo pair's training code: known camera moves, closed-form parts that are exact, stages that resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from svdlab.metrics.measure import measure
from training import clips, unet, vae
from training.export import adopt, export, preview_matrix
from training.pictures import PictureMaker
from training.runs import Clock, load_state


@pytest.fixture(scope="module")
def pool() -> list[np.ndarray]:
    maker = PictureMaker(np.random.default_rng(4), textures=6)
    return [maker() for _ in range(4)]


def test_pictures_are_made_from_the_seed_alone() -> None:
    one, two = (PictureMaker(np.random.default_rng(9), textures=4)() for _ in range(2))
    assert np.array_equal(one, two)
    assert one.dtype == np.float32
    assert 0 <= one.min() < one.max() <= 1
    assert one.std() > 0.02


@pytest.mark.parametrize("move", clips.MOVES)
def test_the_camera_moves_as_it_is_told(move: str, pool: list[np.ndarray]) -> None:
    frames = clips.film(pool[0], clips.camera(move, 1.5, 6), (160, 104), 1.0)
    measured = measure((frames * 255).astype(np.uint8))
    turn, closer = np.radians(measured["rotation"]), np.log(1 + measured["zoom"] / 100)
    found = (measured["pan_x"], measured["pan_y"], closer, turn)
    travelled = clips.BOUND * np.tanh(1.5 * 5 / clips.BOUND) / 5
    radius = clips.RADIUS * clips.WIDTH
    wanted = np.array(clips.MOVES[move]) / (1, 1, radius, radius)
    for value, share, near in zip(found, wanted, (0.2, 0.2, 0.004, 0.004), strict=True):
        assert value == pytest.approx(travelled * share, abs=near)


def test_motion_rises_with_the_bucket_falls_with_the_rate_and_is_bounded() -> None:
    assert clips.pixels_per_frame(127, 7) == pytest.approx(clips.PIXELS_AT_127)
    assert clips.pixels_per_frame(254, 7) == 2 * clips.pixels_per_frame(127, 7)
    assert clips.pixels_per_frame(127, 14) == clips.pixels_per_frame(127, 7) / 2
    far = clips.camera("left", 30.0, 25)
    assert np.abs(far).max() <= clips.BOUND


@pytest.mark.parametrize("move", ["left", "up", "in", "out", "clockwise", "anticlockwise"])
def test_every_move_is_as_fast_whatever_the_frames_size(move: str) -> None:
    means = [
        np.hypot(*clips.sources(clips.camera(move, 0.2, 4, width=w), 4, (w, h))[-1].T).mean()
        for w, h in (clips.FULL, (128, 72), (64, 48))
    ]
    travelled = clips.BOUND * np.tanh(0.2 * 3 / clips.BOUND)
    assert means == pytest.approx([travelled] * 3, rel=0.15)


@pytest.mark.parametrize("size", [clips.FULL, (128, 72)])
@pytest.mark.parametrize("move", clips.MOVES)
def test_the_known_sources_say_where_content_came_from(
    move: str, size: clips.Size, pool: list[np.ndarray]
) -> None:
    maker = clips.ClipMaker(np.random.default_rng(3), (move,), clips.RESTLESS, fixed=(6, 200), step=1)
    clip = maker(pool[1], 8, size)
    assert clip.frames.shape == (8, size[1], size[0], 3)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    across, down = clip.sources[-1, ..., 0], clip.sources[-1, ..., 1]
    carried = cv2.remap(clip.frames[0], x + across, y + down, cv2.INTER_LINEAR)
    middle = np.s_[size[1] // 5 : -size[1] // 5, size[0] // 6 : -size[0] // 6]
    unmoved = np.abs(clip.frames[0] - clip.frames[-1])[middle].mean()
    assert np.abs(carried - clip.frames[-1])[middle].mean() < 0.25 * unmoved


def test_a_thing_moves_on_its_own_and_is_known_to(pool: list[np.ndarray]) -> None:
    maker = clips.ClipMaker(np.random.default_rng(3), ("left",), 0.0, fixed=(6, 200), things=1.0)
    with_thing = maker(pool[0], 8)
    last = with_thing.sources[-1].reshape(-1, 2)
    different = np.unique(np.round(last, 2), axis=0)
    assert len(different) == 2  # the scene's displacement and the thing's
    first = with_thing.sources[0]
    assert np.allclose(first, 0)


def test_a_restless_camera_sways_in_proportion_to_its_speed() -> None:
    slow, fast = (clips.sway(np.random.default_rng(4), v, 14, 0.5) for v in (0.4, 0.8))
    assert np.allclose(fast, 2 * slow)
    assert np.allclose(fast[0], 0)
    assert np.allclose(fast[:10], fast[4:])  # it comes back every four frames
    assert np.ptp(fast, axis=0).max() == pytest.approx(0.8, rel=0.3)  # up to twice half of its speed
    assert np.array_equal(
        clips.sway(np.random.default_rng(4), 9.0, 14, 0.5), clips.sway(np.random.default_rng(4), 1.5, 14, 0.5)
    )
    assert not clips.sway(np.random.default_rng(4), 0.8, 14, clips.STEADY).any()


def test_the_first_frame_is_the_picture_and_the_tuned_pair_is_fixed(pool: list[np.ndarray]) -> None:
    steady = clips.ClipMaker(np.random.default_rng(1), ("left",), clips.STEADY, fixed=(6, 127))
    clip = steady(pool[0], 5)
    assert (clip.fps, clip.bucket) == (6, 127)
    steps = np.diff(clip.sources[:, 0, 0, 0])
    assert np.ptp(steps) < 0.1 * steps.mean()
    restless = clips.ClipMaker(np.random.default_rng(1), ("left",), clips.RESTLESS)(pool[0], 5)
    assert 5 <= restless.fps <= 30
    assert 1 <= restless.bucket <= 255
    assert np.allclose(restless.sources[0], 0)


def test_the_encoder_is_the_matrix_product_it_was_set_to(pool: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    patches = vae.principal_patches(vae.crops(pool, rng, 64, 32))
    model = vae.build().eval()
    vae.set_encoder(model, patches)
    pictures = vae.crops(pool, rng, 2, 64)
    with torch.no_grad():
        real = model.encode(pictures).latent_dist.mode()
    assert torch.allclose(real, vae.with_motion(vae.encode_linearly(pictures, patches)), atol=0.1)
    assert torch.equal(vae.patches_of(model), patches)


def test_the_untrained_decoder_is_its_skeleton_and_keeps_its_constants(pool: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    model = vae.build().eval()
    vae.set_decoder(model)
    latents = torch.randn(1, vae.CHANNELS, 8, 8)
    with torch.no_grad():
        assert torch.allclose(
            model.decode(latents, num_frames=1).sample, vae.skeleton(model, latents), atol=1e-3
        )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    vae.project(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_decoder_does_not_read_the_motion_channels(pool: list[np.ndarray]) -> None:
    model = vae.build().eval()
    vae.set_decoder(model)
    latents = torch.randn(1, vae.CHANNELS, 8, 8)
    other = latents.clone()
    other[:, vae.LATENTS :] += 3
    with torch.no_grad():
        one, two = (model.decode(z, num_frames=1).sample for z in (latents, other))
    assert torch.equal(one, two)


def test_batches_are_what_the_denoiser_is_trained_on(pool: list[np.ndarray]) -> None:
    rng = np.random.default_rng(2)
    patches = vae.principal_patches(vae.crops(pool, rng, 64, 32))
    scaling = vae.unit_scaling(patches, pool)
    still = clips.ClipMaker(rng, ("left",), 0.0, fixed=(30, 1))  # 0.001 px per frame
    latents, given, ids = unet.Batches(still, pool, patches, scaling)(3, 4, 12, 16)
    assert latents.shape == (3, 4, vae.CHANNELS, 12, 16)
    assert given.shape == (3, vae.CHANNELS, 12, 16)
    assert ids[:, :2].tolist() == [[29.0, 1.0]] * 3
    assert float(given[:, vae.LATENTS :].abs().max()) == 0
    assert float(latents[:, :, vae.LATENTS :].abs().max()) < 0.01
    kept = torch.stack([latents[i, 0] / scaling - given[i] for i in range(3) if ids[i, 2] < 0.03])
    assert float(kept.abs().mean()) < 0.05  # the conditioning is the first frame, hardly noisy


def test_mirrored_views_show_the_same_clip_turned_round(pool: list[np.ndarray]) -> None:
    rng = np.random.default_rng(2)
    patches = vae.principal_patches(vae.crops(pool, rng, 64, 32))
    batches = unet.Batches(clips.ClipMaker(rng, ("left",), 0.0, fixed=(6, 200)), pool, patches, 1.0)
    latents, _, _ = batches(1, 4, 12, 16, mirrored=True)
    plain, across, down, both = latents[:, -1, vae.LATENTS :].mean((2, 3))
    assert plain[0] > 0.1
    assert torch.allclose(across, plain * torch.tensor([-1.0, 1.0]))
    assert torch.allclose(down, plain)  # a pan to the left stays one in a mirror on the floor
    assert torch.allclose(both, across)
    back = torch.linalg.pinv(patches)  # (LATENTS, 48): what the patches were, nearly
    colours = torch.einsum("nfkhw,kc->nfchw", latents[:, :, : vae.LATENTS], back)
    grey = colours.mean((1, 2))  # mirrors turn the order of the patches, and their insides
    assert torch.allclose(grey[1].flip(-1), grey[0], atol=0.05)
    assert torch.allclose(grey[2].flip(-2), grey[0], atol=0.05)
    noise = unet.draw_noise(latents, mirrored=True)[:, :, vae.LATENTS :]
    assert torch.equal(noise[1, :, 0], -noise[0, :, 0].flip(-1))
    assert torch.equal(noise[2, :, 1], -noise[0, :, 1].flip(-2))


def test_the_loss_is_least_for_the_right_answer(pool: list[np.ndarray]) -> None:
    class Oracle(torch.nn.Module):
        """Answers the true v, from the clean latents it was given."""

        def __init__(self, latents: torch.Tensor, off: float):
            super().__init__()
            self.latents, self.off = latents, off

        def forward(self, x, t, encoder_hidden_states, added_time_ids):
            sigma = torch.exp(4 * t).view(-1, 1, 1, 1, 1)
            scale = (sigma**2 + 1).sqrt()
            noise = (x[:, :, : vae.CHANNELS] * scale - self.latents) / sigma
            answer = (noise - sigma * self.latents) / scale + self.off
            return type("Out", (), {"sample": answer})

    latents, ids = torch.randn(2, 3, vae.CHANNELS, 4, 4), torch.zeros(2, 3)
    given, levels = torch.zeros(2, vae.CHANNELS, 4, 4), torch.tensor([0.5, 8.0])
    noise = torch.randn_like(latents)
    right, wrong = (
        unet.loss(unet.residuals(Oracle(latents, off), latents, given, ids, levels, noise))
        for off in (0, 0.5)
    )
    assert float(right) < 1e-6
    assert float(wrong) == pytest.approx(0.25 * (1 + unet.MOTION_WEIGHT * vae.MOTION / vae.LATENTS), rel=0.01)


def test_what_shakes_counts_more_than_what_drifts() -> None:
    still = torch.zeros(1, 6, vae.CHANNELS, 4, 4)
    drift, wave = still.clone(), still.clone()
    drift[:, :, vae.LATENTS] = torch.arange(6.0).view(1, 6, 1, 1)
    wave[:, :, vae.LATENTS] = torch.tensor([1.0, -1.0] * 3).view(1, 6, 1, 1)
    assert float(unet.shake(drift).abs().max()) < 1e-5
    assert torch.allclose(unet.shake(wave)[0, :, 0].abs(), torch.full((4,), 4.0))
    grain = torch.ones(4, 4).triu() - torch.ones(4, 4).tril()  # of mean 0: no camera does that
    assert float(unet.shake(wave * grain).abs().max()) < 1e-5
    assert float(unet.loss(wave)) > 10 * float(unet.loss(wave * grain))


def test_moving_crops_drift_evenly_over_a_picture(pool: list[np.ndarray]) -> None:
    made = vae.moving_crops(pool, np.random.default_rng(5), 2, 4, 64)
    assert made.shape == (8, 3, 64, 64)
    frames = ((made[:4].permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)
    measured = measure(frames)
    assert 0 < np.hypot(measured["pan_x"], measured["pan_y"]) < 3
    assert measured["camera_jerk"] < 0.3


def test_the_learning_rate_warms_up_and_falls() -> None:
    clock = Clock(60)
    clock.running()
    first = clock.factor()
    for _ in range(50):
        clock.running()
    assert first < clock.factor() <= 1.0
    clock.started -= 59 * 60
    assert clock.factor() < 0.2
    clock.started -= 120
    assert not clock.running()


def test_stages_train_stop_resume_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae, "SKELETON_STEPS", 2)
    vae.train(tmp_path, 0.01, "cpu", pool_size=3)
    done = load_state(tmp_path / "vae")
    assert done is not None
    shape = {"frames": (3, 4), "shapes": ((1, 8, 16, 1.0),), "pool_size": 3}
    unet.train(tmp_path, 0.01, "cpu", **shape)
    first = load_state(tmp_path / "unet")
    unet.train(tmp_path, 0.01, "cpu", **shape)
    second = load_state(tmp_path / "unet")
    assert first is not None
    assert second is not None
    assert second["trainer"]["steps"] > first["trainer"]["steps"] >= 1
    unet.train(tmp_path, 0.01, "cpu", mirrored=True, **shape)
    shutil.copytree(tmp_path / "unet", tmp_path / "copy")
    unet.train(tmp_path, 0.01, "cpu", **shape)
    before = load_state(tmp_path / "unet")["trainer"]["average"]["conv_out.bias"].clone()
    unet.blend(tmp_path, "unet", tmp_path / "copy", lean=(0.0, -0.5))
    after = load_state(tmp_path / "unet")["trainer"]["average"]["conv_out.bias"]
    earlier = load_state(tmp_path / "copy")["trainer"]["average"]["conv_out.bias"]
    lean = torch.tensor([0.0] * (vae.CHANNELS - 1) + [-0.5])
    assert torch.allclose(after, (before + earlier) / 2 + lean, atol=1e-6)
    unet.train(tmp_path, 0.01, "cpu", name="tuned", start="unet", restless=0.0, fixed=(6, 127), **shape)
    (tmp_path / "out").mkdir()
    for name in ("unet", "tuned"):
        export(tmp_path, name, tmp_path / "out" / name, "# Card\n")
    both = [
        tmp_path / "out" / name / "vae" / "diffusion_pytorch_model.safetensors" for name in ("unet", "tuned")
    ]
    adopt(tmp_path / "out" / "unet", tmp_path / "again", "unet")
    unet.train(tmp_path / "again", 0.001, "cpu", **shape)
    assert both[0].read_bytes() == both[1].read_bytes()  # one autoencoder, shared
    size = sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert size <= 24_000_000


def test_the_preview_matrix_gives_the_pictures_colours(pool: list[np.ndarray]) -> None:
    patches = vae.principal_patches(vae.crops(pool, np.random.default_rng(3), 64, 32))
    matrix = preview_matrix(patches, 1.3)
    picture = torch.from_numpy(pool[0])
    latents = vae.encode_linearly(picture.permute(2, 0, 1)[None] * 2 - 1, patches)[0] * 1.3
    latents = vae.with_motion(latents)
    made = latents.permute(1, 2, 0) @ torch.tensor(matrix["weight"]) + torch.tensor(matrix["bias"])
    wanted = picture.reshape(52, 4, 80, 4, 3).mean((1, 3))
    assert float((made - wanted).abs().mean()) < 0.03
