"""A page's script works out the crop as Python does: both on one table of cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdlab.ui.parts.element import text_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "clips" / "crop_cases.json").read_text(encoding="utf-8")
)["cases"]


def test_the_script_covers_what_every_case_of_the_table_says(page_1440: Page) -> None:
    script = text_of("picture/fitting.js")
    answers = page_1440.evaluate(
        f"""(cases) => {{ {script}
            const size = ([width, height]) => ({{ width, height }});
            return cases.map((one) => fitting(size(one.picture), size(one.clip), one.fit, one.focus));
        }}""",
        CASES,
    )
    assert len(answers) > 90
    wrong = [
        (case, answer)
        for case, answer in zip(CASES, answers, strict=True)
        if (case["box"], case["place"]) != (answer["box"], answer["place"])
    ]
    assert wrong == []


def test_an_image_is_put_so_that_the_view_shows_the_box(page_1440: Page) -> None:
    script = text_of("picture/fitting.js")
    shown = page_1440.evaluate(
        f"""() => {{ {script}
            document.body.innerHTML = `<div style="position:relative;width:200px;height:100px"><img
                style="position:absolute"></div>`;
            const image = document.querySelector("img");
            const at = (picture, clip, knobs) => {{
                putFitted(image, picture, clip, knobs);
                const [view, box] = [image.parentElement.getBoundingClientRect(), image.getBoundingClientRect()];
                return [box.left - view.left, box.top - view.top, box.width, box.height].map((x) => Math.round(x));
            }};
            const clip = {{ width: 1024, height: 512 }};
            return [
                at({{ width: 1000, height: 1000 }}, clip, {{ focus_y: "1" }}),
                at({{ width: 1000, height: 1000 }}, clip, {{ focus_y: "0" }}),
                at({{ width: 500, height: 500 }}, clip, {{ fit: "pad" }}),
                at({{ width: 500, height: 500 }}, clip, {{ fit: "stretch" }}),
                at({{ width: 2000, height: 1000 }}, clip, {{ focus_x: "lots" }}),
            ];
        }}"""
    )
    assert shown == [
        [0, -100, 200, 200],
        [0, 0, 200, 200],
        [50, 0, 100, 100],
        [0, 0, 200, 100],
        [0, 0, 200, 100],
    ]
