"""A plot as SVG: bars in groups, on a logarithmic axis."""

import math
from xml.sax.saxutils import escape

COLOURS = {"limit": "#bbbbbb", "Tidegate": "#0072b2", "naive Rust": "#d55e00", "Node": "#009e73", "Python": "#e69f00"}
LEFT, WIDTH, BAR, GAP, TOP = 110, 560, 11, 10, 56


def bars(title: str, groups: dict[str, dict[str, float]]) -> str:
    values = [value for group in groups.values() for value in group.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        return LEFT + WIDTH * (math.log10(value) - low) / (high - low)

    who = [name for name in COLOURS if any(name in group for group in groups.values())]
    drawn = [text(10, 18, title, "font-weight='bold'")]
    for index, name in enumerate(who):
        left = LEFT + index * 105
        drawn += [rect(left, 28, 12, COLOURS[name]), text(left + 17, 38, name)]
    y = TOP
    for name, group in groups.items():
        height = BAR * len(group)
        drawn.append(text(LEFT - 8, y + height / 2 + 4, name, "text-anchor='end'"))
        for one in (one for one in who if one in group):
            drawn += [rect(LEFT, y, x(group[one]) - LEFT, COLOURS[one]), text(x(group[one]) + 4, y + 9, f"{group[one]:,.3g}" if group[one] < 1000 else f"{group[one]:,.0f}", "font-size='9'")]
            y += BAR
        y += GAP
    axis = []
    for power in range(low, high + 1):
        at = x(10**power)
        axis.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{TOP - 6}' y2='{y}' stroke='#dddddd'/>")
        axis.append(text(at, y + 14, f"{10**power:,g}", "text-anchor='middle'"))
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {LEFT + WIDTH + 60} {y + 24}' font-family='sans-serif' font-size='11'>",
            "<rect width='100%' height='100%' fill='white'/>",
            *axis,
            *drawn,
            "</svg>\n",
        ]
    )


def rect(x: float, y: float, width: float, colour: str) -> str:
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{BAR - 1}' fill='{colour}'/>"


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(words)}</text>"
