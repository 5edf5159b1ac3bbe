"""The process of an audit that comes to no answer: it is said, and the next one may begin."""

from pathlib import Path

import pytest

from shop_stack.operations import auditing
from shop_stack.operations.auditing import AuditFailed, Auditing
from shop_stack.settings import Settings
from tests.operations_stand import make_home

pytestmark = pytest.mark.embedded


def test_an_audit_that_takes_too_long_is_ended_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "TIMEOUT_S", 0.01)
    books = Auditing(Settings(home=make_home(tmp_path)))
    for _ in range(2):
        with pytest.raises(AuditFailed, match="timed out after"):
            books.report()
