"""A strict reader of Prometheus' text format: what it does not know, or finds out of order, fails the test."""

import re
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_ESCAPED = re.compile(r'\\(["\\n])')


@dataclass
class Family:
    """One metric: its type, its words, and its samples as (name, labels) -> value."""

    kind: str
    words: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def values(self, **labels: str) -> list[float]:
        """Of the samples that have these labels among theirs."""
        return [value for (_, has), value in self.samples.items() if has >= set(labels.items())]


def read(text: str) -> dict[str, Family]:
    """The metrics of a page, by name. Fails on anything that the format does not allow."""
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    lines = iter(text.removesuffix("\n").split("\n"))
    current = ""
    for line in lines:
        if line.startswith("# HELP "):
            current, _, words = line.removeprefix("# HELP ").partition(" ")
            kind = next(lines).removeprefix(f"# TYPE {current} ")
            assert kind in ("counter", "gauge", "histogram"), line
            assert words, line
            assert current not in families, f"{current} is told twice"
            families[current] = Family(kind, words)
            continue
        found = _SAMPLE.fullmatch(line)
        assert found is not None, line
        name, labels, value = found[1], found[2] or "", float(found[3])
        allowed = [current + end for end in ("_bucket", "_sum", "_count")]
        assert name in (allowed if families[current].kind == "histogram" else [current]), line
        key = (name, _labels(labels, line))
        assert key not in families[current].samples, f"told twice: {line}"
        families[current].samples[key] = value
    return families


def _labels(text: str, line: str) -> frozenset[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        label = _LABEL.match(text, at)
        assert label is not None, line
        found.append((label[1], _ESCAPED.sub(lambda one: "\n" if one[1] == "n" else one[1], label[2])))
        at = label.end()
    assert len({name for name, _ in found}) == len(found), line
    return frozenset(found)
