"""`svdlab votes`: what votes came to, in words, as JSON and as a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from svdlab.cli import main
from svdlab.lab.lab import Lab
from svdlab.recipes.votes import Scope
from tests.made import make_run


def test_votes_are_said_in_words_json_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVDLAB_DATA_DIR", str(tmp_path / "data"))
    assert main(["votes"]) == 0
    assert capsys.readouterr().out.strip() == "No votes yet."
    with Lab() as lab:
        for seed in range(3):
            for checkpoint in ("demo-1-0", "demo-1-1"):
                make_run(lab, seed, checkpoint=checkpoint)
        scope = Scope(checkpoints=("demo-1-0", "demo-1-1"))
        while (shown := lab.booth.next(scope, "one")) is not None:
            lab.booth.take(shown.token, "left" if shown.left.recipe.checkpoint == "demo-1-1" else "right")
    assert main(["votes", "--csv", str(tmp_path / "votes.csv")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Not decided yet.\nDemo 1.1 won 3 and Demo 1.0 won 0 of 3 votes.")
    with (tmp_path / "votes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row in rows:
        assert row["answer"] in ("left", "right")
        assert row[f"{row['answer']}_checkpoint"] == "demo-1-1"
    assert main(["votes", "-a", "demo-1-0", "-b", "demo-1-1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["votes"] == 3
    assert (found["tally"]["a"], found["tally"]["b"]) == (0, 3)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["-a", "demo-1-0"], "give both or neither"),
        (["-a", "demo-1-0", "-b", "nothing"], "nothing"),
        (["--csv", "votes.txt"], "must end in .csv"),
    ],
)
def test_what_cannot_be_meant_gets_a_sentence(
    wrong: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SVDLAB_DATA_DIR", str(tmp_path / "data"))
    assert main(["votes", *wrong]) == 2
    assert said in capsys.readouterr().err
