"""The demo pair's training code: known camera moves, closed-form parts that are exact, stages that resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from svdlab import metrics
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


@pytest.mark.parametrize("move", [*clips.DIRECTIONS, "in", "out"])
def test_the_camera_moves_as_it_is_told(move: str, pool: list[np.ndarray]) -> None:
    path = clips.camera(move, 1.5, 6, np.zeros((6, 2)))
    frames = clips.film(pool[0], path, (160, 104), 1.0)
    measured = metrics.measure((frames * 255).astype(np.uint8))
    if move in clips.DIRECTIONS:
        x, y = clips.DIRECTIONS[move]
        assert measured.pan_x == pytest.approx(1.5 * x, abs=0.2)
        assert measured.pan_y == pytest.approx(1.5 * y, abs=0.2)
    else:
        assert np.sign(measured.zoom) == (1 if move == "in" else -1)


def test_motion_per_frame_rises_with_the_bucket_and_falls_with_the_rate() -> None:
    assert clips.pixels_per_frame(127, 7) == pytest.approx(clips.PIXELS_AT_127)
    assert clips.pixels_per_frame(254, 7) == 2 * clips.pixels_per_frame(127, 7)
    assert clips.pixels_per_frame(127, 14) == clips.pixels_per_frame(127, 7) / 2


def test_the_first_frame_is_never_jittered_and_the_tuned_pair_is_fixed(pool: list[np.ndarray]) -> None:
    steady = clips.ClipMaker(np.random.default_rng(1), ("left",), clips.STEADY, fixed=(6, 127))
    clip = steady(pool[0], 5)
    assert clip.ids == (5.0, 127.0, 0.02)
    restless = clips.ClipMaker(np.random.default_rng(1), ("left",), clips.RESTLESS)(pool[0], 5)
    assert 5 <= restless.fps <= 30
    assert 1 <= restless.bucket <= 255


def test_the_encoder_is_the_matrix_product_it_was_set_to(pool: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    patches = vae.principal_patches(vae.crops(pool, rng, 64, 32))
    model = vae.build().eval()
    vae.set_encoder(model, patches)
    pictures = vae.crops(pool, rng, 2, 64)
    with torch.no_grad():
        real = model.encode(pictures).latent_dist.mode()
    assert torch.allclose(real, vae.encode_linearly(pictures, patches), atol=0.1)
    assert torch.equal(vae.patches_of(model), patches)


def test_the_untrained_decoder_is_its_skeleton_and_keeps_its_constants(pool: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    model = vae.build().eval()
    vae.set_decoder(model)
    latents = torch.randn(1, vae.LATENTS, 8, 8)
    with torch.no_grad():
        assert torch.allclose(
            model.decode(latents, num_frames=1).sample, vae.skeleton(model, latents), atol=1e-3
        )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    vae.project(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_untrained_denoiser_answers_the_picture_unmoved(pool: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(2)
    patches = vae.principal_patches(vae.crops(pool, rng, 64, 32))
    still = clips.ClipMaker(rng, ("left",), 0.0, fixed=(30, 1))  # 0.002 px per frame
    latents, ids = unet.Batches(still, pool, patches)(2, 4, 12, 16)
    scaling = float(1 / latents.std())
    model = unet.build()
    unet.set_start(model, scaling, latents, ids)
    with torch.no_grad():
        found = unet.loss(model, latents, ids, scaling, torch.full((2,), 40.0), seed=1)
    assert float(found.max()) < 0.2  # 1.0 would be knowing nothing


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
    shape = {"clips": 1, "frames": 3, "rows": 8, "columns": 16, "pool_size": 3}
    unet.train(tmp_path, 0.01, "cpu", **shape)
    first = load_state(tmp_path / "unet")
    unet.train(tmp_path, 0.01, "cpu", **shape)
    second = load_state(tmp_path / "unet")
    assert first is not None
    assert second is not None
    assert second["trainer"]["steps"] > first["trainer"]["steps"] >= 1
    unet.train(tmp_path, 0.01, "cpu", name="tuned", start="unet", jitter=0.0, fixed=(6, 127), **shape)
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
    assert size <= 28_000_000


def test_the_preview_matrix_gives_the_pictures_colours(pool: list[np.ndarray]) -> None:
    patches = vae.principal_patches(vae.crops(pool, np.random.default_rng(3), 64, 32))
    matrix = preview_matrix(patches, 1.3)
    picture = torch.from_numpy(pool[0])
    latents = vae.encode_linearly(picture.permute(2, 0, 1)[None] * 2 - 1, patches)[0] * 1.3
    made = latents.permute(1, 2, 0) @ torch.tensor(matrix["weight"]) + torch.tensor(matrix["bias"])
    wanted = picture.reshape(52, 4, 80, 4, 3).mean((1, 3))
    assert float((made - wanted).abs().mean()) < 0.03
