"""The clip as ComfyUI and its node packs write it: every file gives the values it was made with."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from svdlab.cli import main
from svdlab.exchange.restore import restore
from svdlab.lab.lab import Lab
from tests.exchange.comfyui.told import CASES, EXPECTED


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def test_every_file_has_an_expected_answer() -> None:
    assert {path.name for path in CASES.iterdir()} - {"expected.json"} == set(EXPECTED)


@pytest.mark.parametrize("file", EXPECTED)
def test_a_file_gives_the_clip_it_was_made_with(
    lab: Lab, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "recipe", str(CASES / file), "--json", "--data-dir", str(lab.data_dir)]) == 0
    answer = json.loads(capsys.readouterr().out)
    got = {"checkpoint": answer["checkpoint"], **answer["settings"]}
    assert {name: got[name] for name in EXPECTED[file]} == EXPECTED[file]


@pytest.mark.parametrize("file", EXPECTED)
def test_what_a_file_is_said_to_lack_is_what_it_lacks(lab: Lab, file: str) -> None:
    notes = restore(lab, CASES / file).notes
    assert not any("does not say" in note or " so " in note.replace(", so expect", "") for note in notes), (
        notes
    )
    assert not any("Node(" in note or "Link(" in note or "None" in note for note in notes), notes


def test_a_second_pass_and_a_damaged_text_are_said(lab: Lab) -> None:
    assert (
        "The clip goes through another sampler there; here it is sampled once."
        in restore(lab, CASES / "refine_first.json").notes
    )
    assert restore(lab, CASES / "cut_prompt.png").notes[0] == (
        "The text prompt in the file is damaged; what else is in it was used."
    )
    assert (
        "denoise is 0.8 there; here every clip starts from noise alone."
        in restore(lab, CASES / "denoise_linked.json").notes
    )
