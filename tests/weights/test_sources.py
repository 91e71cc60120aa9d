"""A kind of source is one file: with it, weights of that kind are registered, listed, said to be here, and loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svdlab.errors import CheckpointUnavailable
from svdlab.weights.availability import fetches, kind_named, kind_names, kinds
from svdlab.weights.catalogue import Catalogue
from tests.tree import copy_tree, run_on

POINTER = '''"""Weights in a folder that a small text file names."""

from dataclasses import replace
from pathlib import Path

from svdlab.recipes.checkpoint import Source
from svdlab.weights.availability import Availability, SourceKind
from svdlab.weights.layouts import folders
from svdlab.weights.sources import folder


class Pointer(SourceKind):
    def claims(self, path):
        return path.suffix == ".pointer"

    def read(self, path, asked):
        found = folder.KIND.read(Path(path.read_text().strip()), asked)
        return replace(found, source=Source("pointer", str(path)), summary="Pointed at.")

    def availability(self, checkpoint):
        there = Path(Path(checkpoint.source.location).read_text().strip())
        if folders.lacking(there, checkpoint.source):
            return Availability("missing", f"It points at {there}, where nothing is.")
        return Availability("on disk", f"It points at {there}.", there, folders.bytes_below(there))


KIND = Pointer()
'''

SHELL = """
import sys
from svdlab.cli import main

pointer, data = sys.argv[1:]
for command in (["add", pointer, "--id", "pointed"], ["verify", "pointed"], ["list", "--json"]):
    assert main(["checkpoints", *command, "--data-dir", data]) == 0, command
"""


def test_a_kind_of_source_is_one_file(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    (tree / "svdlab" / "weights" / "sources" / "pointer.py").write_text(POINTER)
    demo = Catalogue().get("demo-1-0").source.location
    pointer = tmp_path / "mine.pointer"
    pointer.write_text(f"{demo}\n")
    said = run_on(tree, SHELL, pointer, tmp_path / "data")
    added, unet, _, _, whole, *listed = said.splitlines()
    assert added == "pointed: 14 frames, 256×144, its configuration names 14 frames"
    assert unet.startswith("unet: UNetSpatioTemporalConditionModel, ")
    assert whole == "pointed: whole"
    [one] = [one for one in json.loads("\n".join(listed)) if one["id"] == "pointed"]
    assert (one["state"], one["sentence"], one["path"]) == ("on disk", f"It points at {demo}.", demo)


def test_the_kinds_there_are() -> None:
    assert set(kind_names()) == {"embedded", "file", "folder", "hub"}
    assert [kind.general for kind in kinds()] == [False, False, True, True]
    assert {name for name in kind_names() if kind_named(name).fetches} == {"hub"}
    with pytest.raises(
        CheckpointUnavailable, match="there is no kind of source 'tape'; there are embedded, "
    ):
        kind_named("tape")


def test_only_what_comes_from_elsewhere_can_be_fetched() -> None:
    demo, xt = Catalogue().get("demo-1-0"), Catalogue().get("svd-xt")
    assert (fetches(demo), fetches(xt)) == (False, True)
    with pytest.raises(CheckpointUnavailable, match=r"demo-1-0: Part of svdlab, \d"):
        kind_named("embedded").fetch(demo, None, lambda: False)
