"""A plot as SVG, with logarithmic scales on both axes."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50  # margins for axes, title and names
COLORS = ("#1f6f50", "#b5472f", "#2f5fb5", "#8a6d00", "#7a3fa0")
HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
    f'height="{HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">'
    '<rect width="100%" height="100%" fill="#fff"/>'
)


def plot(title: str, by: str, curves: Mapping[str, Points]) -> str:
    """Return an SVG plot of named curves; points with 0 or less are left out."""
    shown = {name: [point for point in points if min(point) > 0] for name, points in curves.items()}
    every = [point for points in shown.values() for point in points]
    xs = sorted({x for x, _ in every})
    low = math.floor(math.log10(min(y for _, y in every)))
    high = max(low + 1, math.ceil(math.log10(max(y for _, y in every))))
    wide = math.log10(xs[-1] / xs[0]) or 1.0

    def across(x: float) -> float:
        return LEFT + math.log10(x / xs[0]) / wide * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return TOP + (high - math.log10(y)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [HEAD, _text(LEFT, 22, title, weight="bold")]
    for power in range(low, high + 1):
        y = down(10.0**power)
        parts.append(f'<path stroke="#ddd" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{10.0**power:,g}", anchor="end"))
    for x in _apart(xs, across):
        parts.append(_text(across(x), HEIGHT - BOTTOM + 18, f"{x:,.0f}", anchor="middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, by, anchor="middle"))
    for place, (name, points) in enumerate(shown.items()):
        color = COLORS[place % len(COLORS)]
        line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        parts.append(f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{line}"/>')
        parts += [
            f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{color}"/>'
            for x, y in points
        ]
        parts.append(_text(WIDTH - RIGHT + 14, TOP + 12 + 20 * place, name, color=color))
    return "".join([*parts, "</svg>\n"])


def _apart(xs: Sequence[float], across: Callable[[float], float]) -> list[float]:
    """Return the numbers whose labels do not overlap."""
    kept: list[float] = []
    for x in xs:
        if not kept or across(x) - across(kept[-1]) > 60:
            kept.append(x)
    return kept


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "", color: str = ""
) -> str:
    style = (f' font-weight="{weight}"' if weight else "") + (f' fill="{color}"' if color else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
