"""Whether the figures can be trusted: the checks of the books, and what was rejected, repeated or late."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import download, stated
from dashboard.moment import Moment
from dashboard.reads import Reading, Row, ask
from dashboard.text import clean, escaped
from dashboard.views.looking_back import not_kept

_COUNTS = {"records": "read", "rejected": "rejected", "repeats": "repeated", "late": "late",
           "unknown_types": "unknown types", "new_versions": "new versions"}  # fmt: skip


def show(when: Moment) -> None:
    """One sentence for all, the checks that fail, and a table by topic."""
    st.subheader("Can these figures be trusted?", anchor=False)
    if when.back:
        not_kept("What the checks of the books found, and what was rejected or late, is")
        return
    checks, quality = ask("checks"), ask("data_quality")
    if not stated(quality, "Nothing was read yet."):
        return
    words, good = verdict(checks)
    (st.success if good else st.warning)(words, icon=":material/verified:" if good else ":material/report:")
    st.markdown(escaped(in_words(quality.rows)))
    shown = [
        {"topic": clean(row["topic"]), **{words: row[name] for name, words in _COUNTS.items()}, "why rejected":
         clean(row["reject_reasons"]) if row["rejected"] else ""}
        for row in quality.rows
    ]  # fmt: skip
    st.dataframe(shown, hide_index=True, alt="What was read of each topic, and what was not right with it")
    download(quality, "data_quality", when)


def verdict(checks: Reading) -> tuple[str, bool]:
    """What the checks of the books say, escaped for markdown, and whether all is well."""
    if checks.failed is not None:
        return escaped(checks.failed), False
    failing = [row for row in checks.rows if row["state"] == "failed"]
    waiting = [row for row in checks.rows if row["state"] not in ("passed", "failed")]
    if failing:
        named = [f"{escaped(row['name'])}: {row['found']:,} found, first {escaped(row['example'])}" for row in failing]
        return f"{len(failing)} of {len(checks.rows)} checks of the books fail.\n\n- " + "\n- ".join(named), False
    if waiting:
        passed = len(checks.rows) - len(waiting)
        return f"{passed} of {len(checks.rows)} checks of the books pass; the others have not been run to an end.", True
    return f"All {len(checks.rows)} checks of the books pass.", True


def in_words(rows: Sequence[Row]) -> str:
    """All topics in one sentence."""
    read, rejected, repeats, late, unknown, versions = (sum(int(row[name]) for row in rows) for name in _COUNTS)
    return (
        f"{read:,} records were read. {rejected:,} of them could not be read as events and are kept aside, "
        f"{repeats:,} came again and count once, {late:,} came more than five minutes late and count at their own "
        f"time; {unknown + versions:,} are of types or versions that are not known here, kept and not counted."
    )
