"""Drawings of lifecycles as SVG: boxes in a grid, arrows between them.

Plain shapes with classes: colours come from the style sheet, so that a drawing follows light, dark
and print. What is drawn is `node.api.guide.lifecycles`.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_BOX_WIDTH: Final = 118
_BOX_HEIGHT: Final = 40
_COLUMN: Final = 141
_ROW: Final = 84
_MARGIN: Final = 5
_COLUMNS: Final = 3
_WIDTH: Final = 2 * _MARGIN + (_COLUMNS - 1) * _COLUMN + _BOX_WIDTH
_LINE: Final = 16
_TITLED: Final = 'aria-labelledby="{}-title"'
_TIP: Final = (
    'markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/>'
)


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Attributes:
        states: Each on a line of its own.
        column: From 0, the left one of three.
        row: From 0, the upper one.
        kind: Class of the style sheet: `way`, `turn`, `done` or `ended`.
    """

    states: tuple[str, ...]
    column: int
    row: int
    kind: str

    @property
    def height(self) -> int:
        """In units of the drawing."""
        return max(_BOX_HEIGHT, _LINE * len(self.states) + 12)

    @property
    def left(self) -> int:
        """The left edge."""
        return _MARGIN + self.column * _COLUMN

    @property
    def top(self) -> int:
        """The upper edge."""
        return _MARGIN + self.row * _ROW


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another, named by their first states.

    Attributes:
        both: Whether it leads back as well.
    """

    source: str
    target: str
    both: bool = False


def drawing(name: str, title: str, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> str:
    """An SVG picture.

    Args:
        name: Of the picture in its page: a prefix of its ids.
        title: What it shows, in words, for those who do not see it.
        boxes: Three columns at most.
        arrows: Between boxes that have nothing in between.
    """
    known = {each.states[0]: each for each in boxes}
    height = max(each.top + each.height for each in boxes) + _MARGIN
    tip = f'<marker id="{name}-tip" viewBox="0 0 8 8" refX="7" refY="4" {_TIP}</marker>'
    parts = [
        f'<svg class="drawing" viewBox="0 0 {_WIDTH} {height}" role="img" {_TITLED.format(name)}>',
        f'<title id="{name}-title">{html.escape(title)}</title>',
        f"<defs>{tip}</defs>",
        *(_arrow(name, known[each.source], known[each.target], each) for each in arrows),
        *map(_box, boxes),
        "</svg>",
    ]
    return "\n".join(parts)


def _box(box: Box) -> str:
    middle = box.left + _BOX_WIDTH // 2
    first = box.top + (box.height - _LINE * len(box.states)) // 2 + 12
    texts = "".join(
        f'<text x="{middle}" y="{first + _LINE * place}">{html.escape(state)}</text>'
        for place, state in enumerate(box.states)
    )
    return (
        f'<g class="{box.kind}"><rect x="{box.left}" y="{box.top}" width="{_BOX_WIDTH}"'
        f' height="{box.height}" rx="8"/>{texts}</g>'
    )


def _arrow(name: str, source: Box, target: Box, arrow: Arrow) -> str:
    start, end = _edge(source, target), _edge(target, source)
    back = f' marker-start="url(#{name}-tip)"' if arrow.both else ""
    return (
        f'<line x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}"'
        f'{back} marker-end="url(#{name}-tip)"/>'
    )


def _edge(box: Box, towards: Box) -> tuple[int, int]:
    """Where a line from the middle of a box to that of another leaves it."""
    x, y = box.left + _BOX_WIDTH // 2, box.top + box.height // 2
    dx = towards.left - box.left
    dy = towards.top + towards.height // 2 - y
    half_width, half_height = _BOX_WIDTH // 2, box.height // 2
    if abs(dy) * half_width <= abs(dx) * half_height:  # by the left or the right edge
        sign = 1 if dx > 0 else -1
        return x + sign * half_width, y + dy * half_width // abs(dx)
    sign = 1 if dy > 0 else -1
    return x + dx * half_height // abs(dy), y + sign * half_height
