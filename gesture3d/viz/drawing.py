"""What all pictures share: names as they are, in fonts that have their letters, and bounded sizes.

matplotlib takes text between two ``$`` for a formula, draws boxes for letters that its font lacks,
and makes a picture of any size. Every plot here begins with `new_figure`, draws names of files and
classes by `drawable`, and ends with `finished`.
"""

import functools
import re
import textwrap
import unicodedata
from collections.abc import Iterable

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from gesture3d.text import escaped, one_line

LARGEST_SIDE = 50  # inches: 6,000 pixels at 120 a inch
FIRST_FONT = "DejaVu Sans"  # comes with matplotlib
NOTE = (
    "\\u…: a letter by its number, as no font here has it (install, for example, fonts-noto-cjk, "
    "fonts-noto-core or fonts-symbola)"
)
_NUMBER = re.compile(r"\\u[0-9a-f]{4}|\\U[0-9a-f]{8}")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, but no side longer than `LARGEST_SIDE`."""
    size = (min(width, LARGEST_SIDE), min(height, LARGEST_SIDE))
    return Figure(figsize=size, layout="constrained")


def drawable(name: str, limit: int = 40) -> str:
    """A foreign name on one line, shortened; letters that no font here has, by their numbers."""
    line = one_line(name, limit)
    if line.isascii():
        return line
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
    letters = (c if _font_of(c) else "" if _is_invisible(c) else escaped(c) for c in line)
    return one_line("".join(letters), limit - min(wide, len(line)) // 2)


def finished(figure: Figure) -> Figure:
    """The figure with all its text literal and in fonts that have its letters.

    A note says what numbers in place of letters mean.
    """
    for axes in figure.axes:
        axes.get_xticklabels(), axes.get_yticklabels()  # which are made when they are asked for
    texts = figure.findobj(Text)
    if any(_NUMBER.search(text.get_text()) for text in texts):
        note = textwrap.fill(NOTE, int(20 * figure.get_figwidth()))
        texts.append(figure.supxlabel(note, fontsize=6, color="0.3"))
    letters = {letter for text in texts for letter in text.get_text() if not letter.isascii()}
    families = _families(sorted(letters))
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(families)
    return figure


def _families(letters: Iterable[str]) -> list[str]:
    fonts = [font for font in map(_font_of, letters) if font]
    return list(dict.fromkeys([FIRST_FONT, *fonts]))


@functools.cache
def _font_of(letter: str) -> str | None:
    """The family that is to draw a letter; None where no font here can."""
    if _has_to_be_shaped(letter) and matplotlib.__version_info__ < (3, 11):
        return None  # it would be drawn in pieces, from left to right
    return next((family for family, has in _fonts() if has(letter)), None)


@functools.cache
def _fonts() -> list:
    """(family, whether it has a letter) of every font, the most fitting first."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):  # newer than its list
        try:
            font_manager.fontManager.addfont(path)
        except Exception:  # whatever a damaged file brings about
            continue

    def rank(font) -> tuple:
        plain = font.style == "normal" and str(font.weight) in ("400", "normal", "regular", "book")
        return font.name != FIRST_FONT, not plain, "Sans" not in font.name, font.name

    first = {}
    for font in sorted(font_manager.fontManager.ttflist, key=rank):
        if "Last Resort" not in font.name:  # has a box for every letter
            first.setdefault(font.name, functools.partial(_has, font.fname))
    return list(first.items())


def _has(path: str, letter: str) -> bool:
    font = _open_font(path)
    return bool(font and font.get_char_index(ord(letter)))


@functools.cache
def _open_font(path: str) -> FT2Font | None:
    """None of a font that matplotlib cannot draw, such as coloured emoji."""
    try:
        font = FT2Font(path)
        font.set_size(10, 72)
        font.load_glyph(0)
    except Exception:  # each version has its own
        return None
    return font


def _has_to_be_shaped(letter: str) -> bool:
    return unicodedata.bidirectional(letter) in ("R", "AL")


def _is_invisible(letter: str) -> bool:
    """Joiners and selectors of variants."""
    return unicodedata.category(letter) == "Cf" or 0xFE00 <= ord(letter) <= 0xFE0F
