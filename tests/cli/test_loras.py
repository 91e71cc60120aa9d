"""LoRA files in the shell: added to a run, kept in its recipe, refused in one sentence, found again by content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from svdlab.cli import main
from svdlab.engine.loading import open_weights
from svdlab.lab.lab import Lab
from svdlab.weights.catalogue import Catalogue
from tests.lora_files import factors, save
from tests.made import picture_of

SMALL = ["--num-inference-steps", "1", "--num-frames", "2", "--width", "96", "--height", "64", "--seed", "7"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, a LoRA for the demo pair and one for another model."""
    import torch

    folder = tmp_path_factory.mktemp("files")
    picture_of(0).save(folder / "hills.png")
    unet = open_weights(Catalogue().get("demo-1-0")).load("unet", torch.float32)
    made = factors(unet, lambda name: name.endswith("to_v"))
    save(folder / "sway.safetensors", made, "kohya")
    save(folder / "flux.safetensors", {f"double_blocks.{n}": pair for n, pair in made.items()})
    return folder


def test_a_lora_goes_from_a_file_into_the_clip_and_back(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shell(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert main(["--data-dir", str(tmp_path), *map(str, arguments)]) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out, said.err

    def generate(*arguments: object) -> dict[str, Any]:
        command = ("generate", files / "hills.png", "-c", "demo-1-0", *SMALL, "--json", *arguments)
        made: dict[str, Any] = json.loads(shell(*command)[0])
        return made

    plain, swaying = generate(), generate("--lora", f"{files / 'sway.safetensors'}:0.5")
    [lora] = json.loads(shell("loras", "--json")[0])
    assert (lora["id"], lora["rank"]) == ("sway", 4)
    assert plain["recipe"]["loras"] == []
    assert swaying["recipe"]["loras"] == [{"sha256": lora["sha256"], "strength": 0.5}]
    assert plain["recipe_hash"] != swaying["recipe_hash"]
    assert Path(plain["video"]).read_bytes() != Path(swaying["video"]).read_bytes()
    assert generate("--lora", "sway:0.5")["run"] == swaying["run"]  # rendered before
    assert f"lora {lora['sha256']} = 0.5" in shell("runs", "recipe", swaying["video"])[0]
    like = ("generate", "--like", swaying["video"], "--json")
    assert json.loads(shell(*like)[0])["run"] == swaying["run"]
    assert "The same clip, byte for byte." in shell("reproduce", swaying["video"])[0]
    assert "LoraLoaderModelOnly" in shell("runs", "workflow", swaying["run"])[1]

    wide = ("sweep", files / "hills.png", "-c", "demo-1-0", *SMALL, "--axis", "fps=6,9", "--lora", "sway:0.5")
    shell(*wide)
    with Lab(tmp_path) as lab:
        newest = lab.history.runs(limit=1)[0]
        assert (newest.settings.fps, [one.strength for one in newest.recipe.loras]) == (9, [0.5])

    pair = ("compare", files / "hills.png", "-a", "demo-1-0", "-b", "demo-1-0", *SMALL, "--json")
    beside = json.loads(shell(*pair, "--lora-b", "sway:0.5")[0])
    assert (beside["a"]["recipe"]["loras"], len(beside["b"]["recipe"]["loras"])) == ([], 1)
    assert beside["fair"]
    assert "0 on A and 1 on B" in beside["remarks"][0]
    assert beside["b"]["recipe_hash"] == swaying["recipe_hash"]
    twice = shell(*pair, "--lora", "sway", "--lora-a", "sway", code=2)[1]
    assert "one LoRA file was given twice" in twice

    for strength in ("nan", "inf", "-11", "much"):
        wrong = ("generate", files / "hills.png", *SMALL, "--lora", f"sway:{strength}")
        assert "strength must be a number from -10 to 10" in shell(*wrong, code=2)[1]
    other = ("generate", files / "hills.png", "-c", "demo-1-0", *SMALL, "--lora", files / "flux.safetensors")
    said = shell(*other, code=4)[1]
    assert "flux.safetensors is a LoRA for another model: none of the" in said
    assert "Traceback" not in said
    assert generate("--again")["recipe_hash"] == plain["recipe_hash"]
    with Lab(tmp_path) as lab:
        again, *_ = lab.history.runs(states=("done",))
        assert again.video.read_bytes() == Path(plain["video"]).read_bytes()  # nothing was left behind

    shell("loras", "remove", "sway")
    assert "is not here, so it is left out" in shell(*like)[1]
    assert "add it with svdlab loras add FILE" in shell("reproduce", swaying["video"], code=2)[1]
