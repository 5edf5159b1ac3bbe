"""Turns the model into lines of text: pure, without a terminal, a clock or a network.

A line is spans of text, each with a tone that a theme colours. Meaning is never in the tone alone: a word or
a mark says it too.
"""

import textwrap
from typing import Literal, NamedTuple

Tone = Literal["plain", "dim", "strong", "ok", "warn", "bad", "accent", "head", "key", "off", "spark"]


class Span(NamedTuple):
    """Text of one tone. `press` is the console's own action run by a click, never made from data."""

    text: str
    tone: Tone = "plain"
    press: str = ""


Line = tuple[Span, ...]


class Row(NamedTuple):
    """A line of a list: `key` names it for ever, so that a selection follows it."""

    key: str
    line: Line


def words(text: str, tone: Tone = "plain") -> Line:
    """A line of one span."""
    return (Span(text, tone),)


def plain(line: Line) -> str:
    """The line's text alone."""
    return "".join(span.text for span in line)


def folded(text: str, width: int, most: int, tone: Tone = "plain") -> list[Line]:
    """A sentence on at most `most` lines of `width` characters, broken at blanks."""
    return [words(line, tone) for line in textwrap.wrap(text, max(width, 20), max_lines=most, placeholder=" …")]
