"""The named endpoints, called as a program calls them, over HTTP, against the real app and the demo checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.recipes.presets import Presets
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import KNOBS
from svdlab.ui import launch
from svdlab.workers import open_lab
from tests.lora_files import demo_lora
from tests.made import make_run
from tests.waiting import until

SMALL = {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 1}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of an app over a new data folder."""
    with open_lab(tmp_path_factory.mktemp("api"), device="cpu") as lab:
        address = launch(lab, port=None, block=False)
        client = Client(address, verbose=False, download_files=tmp_path_factory.mktemp("got"))
        lab.loras.add(demo_lora(tmp_path_factory.mktemp("loras") / "sway.safetensors", "to_q"))
        yield client
        client.close()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("picture") / "gradient.png"
    Image.linear_gradient("L").convert("RGB").resize((320, 200)).save(path)
    return str(path)


def generate(client: Client, picture: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    call: dict[str, Any] = {"checkpoint": "demo-1-1", "seed": 7, **SMALL, **arguments}
    video, recipe = client.predict(handle_file(picture), **call, api_name="/generate")
    return video, recipe


def refusal(client: Client, picture: str, **arguments: Any) -> str:
    with pytest.raises(AppError) as refused:
        generate(client, picture, **arguments)
    sentence = str(refused.value)
    assert "Traceback" not in sentence
    assert "\n" not in sentence
    return sentence


def test_only_the_named_endpoints_are_public(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/generate", "/runs", "/run", "/checkpoints", "/presets"} <= set(named)
    others = {"/compare", "/submit", "/sweep", "/cells", "/clip", "/fetch"}
    assert set(named) <= {"/generate", "/runs", "/run", "/checkpoints", "/presets", *others}


def test_generate_has_one_parameter_per_knob(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    parameters = [p["parameter_name"] for p in named["/generate"]["parameters"]]
    assert parameters == ["picture", "checkpoint", "preset", "loras", *KNOBS]


def test_a_picture_becomes_a_video_with_its_recipe(client: Client, picture: str) -> None:
    video, recipe = generate(client, picture, motion_bucket_id=154)
    assert Path(video).read_bytes()[4:8] == b"ftyp"
    assert recipe["settings"]["motion_bucket_id"] == 154
    assert recipe["settings"]["seed"] == 7
    assert Recipe.from_json(json.dumps(recipe)).checkpoint == "demo-1-1"


def test_loras_are_added_by_id_to_a_clip_and_to_both_sides(client: Client, picture: str) -> None:
    _, recipe = generate(client, picture, loras=["sway:0.5"])
    assert [lora["strength"] for lora in recipe["loras"]] == [0.5]
    plain = generate(client, picture)[1]
    assert plain["loras"] == []
    asked = {"a": "demo-1-0", "b": "demo-1-1", "seed": 7, **SMALL, "loras": ["sway"]}
    _, pair = client.predict(handle_file(picture), **asked, api_name="/compare")
    assert pair["a"]["loras"] == pair["b"]["loras"] == [{**recipe["loras"][0], "strength": 1.0}]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "motion_bucket_id",
            "lively",
            "motion_bucket_id must be a whole number from 0 to 1023, got 'lively'",
        ),
        ("motion_bucket_id", "NaN", "motion_bucket_id must be a whole number from 0 to 1023, got 'NaN'"),
        ("fps", 0, "fps must be a whole number from 1 to 60, got 0"),
        ("fps", 7.5, "fps must be a whole number from 1 to 60, got 7.5"),
        ("noise_aug_strength", "inf", "noise_aug_strength must be a number from 0 to 10, got 'inf'"),
        ("num_frames", 10**30, "num_frames must be a whole number from 2 to 128"),
        ("seed", -2, "seed must be a whole number from 0 to"),
        ("schedule", "euler", "schedule must be karras or ays or lcm, got 'euler'"),
        ("width", True, "width must be a whole number from 64 to 2048"),
        ("height", [576], "height must be a whole number from 64 to 2048"),
        ("max_guidance_scale", {"a": 1}, "max_guidance_scale must be a number from 0 to 20"),
        ("decoder", "image", "decoder must be temporal for demo-1-1"),
        ("checkpoint", "svd-2", "there is no checkpoint 'svd-2'"),
        ("checkpoint", ["demo-1-1"], "there is no checkpoint"),
        ("preset", "nicest", "there is no preset 'nicest'"),
        ("preset", {"id": 1}, "there is no preset"),
        ("loras", ["nothing"], "there is no LoRA 'nothing'; there are sway"),
        ("loras", ["/etc/passwd"], "there is no LoRA '/etc/passwd'"),
        ("loras", "sway", "loras must be a list of texts"),
        ("loras", ["sway:much"], "a LoRA's strength must be a number from -10 to 10, got much"),
    ],
)
def test_a_wrong_argument_gets_its_sentence(
    client: Client, picture: str, name: str, value: Any, says: str
) -> None:
    assert refusal(client, picture, **{name: value}).startswith(says)


def test_a_file_that_is_no_picture_gets_a_sentence(client: Client, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    assert refusal(client, str(text)) == (
        "notes.txt is not a picture that can be read; give a PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF picture"
    )


@pytest.mark.parametrize(
    "given", [None, "", 5, "/etc/hostname", {"path": "/etc/hostname"}, {"path": "../../etc"}]
)
def test_a_file_of_the_server_is_not_read(client: Client, given: Any) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(given, api_name="/generate")
    assert "/etc" not in str(refused.value)


def test_after_bad_input_a_good_job_works_and_is_listed(client: Client, picture: str) -> None:
    refusal(client, picture, fps="fast")
    _, recipe = generate(client, picture, seed=8)
    newest = client.predict(1, api_name="/runs")[0]
    assert newest["state"] == "done"
    assert newest["recipe"] == recipe
    assert client.predict(newest["id"], api_name="/run")["id"] == newest["id"]


def test_a_run_that_was_submitted_is_followed_on_the_stream_and_fetched(client: Client, picture: str) -> None:
    run = client.predict(handle_file(picture), checkpoint="demo-1-1", seed=9, **SMALL, api_name="/submit")
    assert run["state"] in ("queued", "running", "done")
    with httpx.stream("GET", client.src.rstrip("/") + run["events"], timeout=300) as stream:
        lines = list(stream.iter_lines())
    told = [json.loads(line[6:]) for line in lines if line.startswith('data: {"id"')]
    assert told[-1] == {**told[-1], "id": run["id"], "kind": "done", "final": True}
    assert "event: end" in lines
    video, recipe = client.predict(run["id"], api_name="/clip")
    assert Path(video).read_bytes()[4:8] == b"ftyp"
    assert recipe["settings"]["seed"] == 9


def test_a_sweep_is_told_started_and_followed_cell_by_cell(client: Client, picture: str) -> None:
    axes = {"seed": [7, 8], "fps": "6,8"}
    asked = {"axes": axes, "skip": ["fps=8 seed=8"], "checkpoint": "demo-1-1", **SMALL}
    told = client.predict(handle_file(picture), dry_run=True, **asked, api_name="/sweep")
    assert (told["cells"], told["left_out"], told["refused"]) == (3, 1, {})
    made = client.predict(handle_file(picture), **asked, api_name="/sweep")
    until(lambda: client.predict(made["id"], api_name="/cells")["state"] == "ended", "the sweep's end")
    cells = client.predict(made["id"], api_name="/cells")["cells"]
    assert [(cell["values"], cell["state"]) for cell in cells] == [
        ({"seed": seed, "fps": fps}, "done") for seed, fps in ((7, 6), (7, 8), (8, 6))
    ]
    video, recipe = client.predict(cells[2]["run"], api_name="/clip")
    assert Path(video).read_bytes()[4:8] == b"ftyp"
    assert (recipe["settings"]["seed"], recipe["settings"]["fps"]) == (8, 6)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"sead": "1..3"}, "there is no knob called 'sead'; did you mean seed?"),
        ({}, "a sweep needs an axis"),
        ({"picture": ["/etc/passwd"]}, "pictures are no axis of this endpoint"),
        ([1], "axes must be names with their values"),
        ({"seed": "1..9000", "fps": "1..60"}, "540,000 cells, and a sweep may have 20,000"),
    ],
)
def test_axes_that_are_none_get_a_sentence(client: Client, picture: str, axes: Any, said: str) -> None:
    with pytest.raises(AppError, match=re.escape(said)):
        client.predict(handle_file(picture), axes=axes, **SMALL, api_name="/sweep")


def test_a_clip_that_is_not_there_gets_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="there is no run 'nothing'"):
        client.predict("nothing", api_name="/clip")


def test_two_that_wait_at_once_are_both_answered(client: Client, picture: str) -> None:
    call = {"checkpoint": "demo-1-1", **SMALL, "api_name": "/generate"}
    jobs = [client.submit(handle_file(picture), seed=seed, **call) for seed in (21, 22)]
    assert [job.result()[1]["settings"]["seed"] for job in jobs] == [21, 22]


def test_a_call_by_curl_is_answered_on_the_second_address(client: Client) -> None:
    api = client.src.rstrip("/") + "/gradio_api"
    for path, body in (("call", {"data": [1]}), ("call/v2", {"limit": 1}), ("call/v2", {})):
        event = httpx.post(f"{api}/{path}/runs", json=body).json()["event_id"]
        answer = httpx.get(f"{api}/{path}/runs/{event}").text
        assert answer.startswith("event: complete\ndata: [[")
    assert (
        httpx.post(f"{api}/call/v2/runs", json={"page": 1}).json()["error"] == "runs has no argument 'page'"
    )


@pytest.mark.parametrize("id", ["nothing", None, 7, "'; DROP TABLE runs"])
def test_a_run_that_is_not_there_gets_a_sentence(client: Client, id: Any) -> None:
    with pytest.raises(AppError, match="there is no run"):
        client.predict(id, api_name="/run")


@pytest.mark.parametrize("limit", [0, -1, "many", 10**9, None])
def test_a_wrong_limit_gets_a_sentence(client: Client, limit: Any) -> None:
    with pytest.raises(AppError, match="limit must be a whole number from 1 to"):
        client.predict(limit, api_name="/runs")


def test_checkpoints_and_presets_are_listed(client: Client) -> None:
    checkpoints = client.predict(api_name="/checkpoints")
    assert {"demo-1-0", "demo-1-1", "svd-xt-1-1"} <= {c["id"] for c in checkpoints}
    assert all(c["sentence"] and c["licence"] for c in checkpoints)
    presets = client.predict(api_name="/presets")
    assert [p["id"] for p in presets] == [preset.id for preset in Presets()]
    assert all(p["name"] and "settings" in p for p in presets)


def test_runs_stay_private_on_a_shared_space(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=Environment.read({"SPACE_ID": "someone/svdlab"})) as shared:
        client = Client(launch(shared, port=None, block=False), verbose=False)
        theirs = make_run(shared)
        assert client.predict(api_name="/runs") == []
        assert (
            client.predict(theirs.id, api_name="/run")["id"] == theirs.id
        )  # whoever has the id was given it
        client.close()
