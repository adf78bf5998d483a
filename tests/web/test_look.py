"""Words can be read against what is behind them (WCAG 2.2, AA), and focus can be seen."""

from __future__ import annotations

import re

import pytest

from hilum.web.pages import static_files

STYLE = static_files()["style.css"][0].decode()
PALETTE = dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6});", STYLE))

INKS = ("ink", "quiet", "accent", "warn", "bad", "pos", "unc", "neg")
TEXT = [
    *[(ink, page) for ink in INKS for page in ("room", "panel", "raised")],
    ("on-accent", "accent"), ("warn", "warn-page"), ("ink", "warn-page"), ("ink", "bad-page"), ("quiet", "bad-page"),
    ("pos", "pos-page"), ("unc", "unc-page"), ("neg", "neg-page"),
]  # fmt: skip
SHAPES = [(edge, page) for edge in ("edge", "focus", "accent") for page in ("room", "panel")] + [("edge", "raised")]


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance of #rrggbb."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio, 1 to 21."""
    light, dark = sorted((luminance(PALETTE[one]), luminance(PALETTE[other])), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("ink", "page"), TEXT)
def test_text_can_be_read(ink: str, page: str) -> None:
    assert contrast(ink, page) >= 4.5


@pytest.mark.parametrize(("shape", "page"), SHAPES)
def test_borders_of_controls_and_focus_can_be_seen(shape: str, page: str) -> None:
    assert contrast(shape, page) >= 3.0


def test_focus_is_drawn_and_never_taken_away() -> None:
    assert ":focus-visible { outline: 2px solid var(--focus)" in STYLE
    assert not re.search(r"outline:\s*(none|0)", STYLE)


def test_styles_and_scripts_load_nothing_from_elsewhere() -> None:
    for name, (content, _) in static_files().items():
        text = content.decode()
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", re.sub(r"http://www\.w3\.org/2000/svg", "", text))
        assert not addresses, name
        assert "@import" not in text
        assert "eval(" not in text
