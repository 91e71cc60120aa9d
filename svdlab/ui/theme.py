"""Colours, fonts and corners as a Gradio theme; the stylesheet does the rest. No font is fetched from anywhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, sizes

HERE = Path(__file__).parent
SCOPED = ("player",)  # parts whose style is given to the component itself, and holds inside it alone

TEAL = colors.Color(
    c50="#effaf8",
    c100="#d6f1ec",
    c200="#aee3da",
    c300="#7ccfc3",
    c400="#48b3a6",
    c500="#23978b",
    c600="#137a71",
    c700="#12625c",
    c800="#134e4a",
    c900="#14413e",
    c950="#062927",
    name="teal",
)
PAPER = colors.Color(
    c50="#fafaf8",
    c100="#f4f4f1",
    c200="#e6e6e1",
    c300="#d3d3cd",
    c400="#a3a39c",
    c500="#74746e",
    c600="#565651",
    c700="#3c3c39",
    c800="#232322",
    c900="#191918",
    c950="#111111",
    name="paper",
)
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """The lab's theme, light and dark."""
    return gr.themes.Base(
        primary_hue=TEAL,
        secondary_hue=TEAL,
        neutral_hue=PAPER,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        block_border_width="0px",
        block_shadow="none",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
    )


def stylesheet() -> str:
    """The style of every page: what holds everywhere, then the parts' own, then the pages'."""
    parts = sorted(path for path in HERE.glob("parts/*/*.css") if path.parent.name not in SCOPED)
    paths = (HERE / "style.css", *parts, *sorted(HERE.glob("pages/*.css")))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)
