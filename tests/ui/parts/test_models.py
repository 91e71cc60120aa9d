"""What the Models page says beside the weights: what makers forbid, what is done about what clips show."""

from __future__ import annotations

from pathlib import Path

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.ui.parts import models


def test_stabilitys_weights_come_with_their_policy(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        cards = {card["id"]: card for card in models.value(lab)["cards"]}
        for id in ("svd", "svd-xt", "svd-xt-image-decoder", "svd-xt-1-1"):
            assert "acceptable-use policy" in cards[id]["use"]
            assert cards[id]["use_url"] == "https://stability.ai/use-policy"
        assert cards["demo-1-1"]["use"] == ""


def test_the_page_says_what_is_done_about_what_clips_show(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=Environment()) as lab:
        assert models.content(lab) == (
            "Every clip says in its file that it is generated. No safety checker looks at pictures or clips here."
        )
    told = Environment(watermark="svdlab", safety_checker="/models/checkers/small")
    with Lab(tmp_path / "data", environment=told) as lab:
        assert models.content(lab) == (
            "Every clip says in its file that it is generated. Frames carry an invisible watermark. "
            "The safety checker small looks at pictures and clips."
        )
