"""The line between a transaction and the workers of its process: bounded, in order, and forgetful."""

from typing import Any, cast

import pytest

from shop_stack.hosting.service import ServiceContext
from shop_stack.services import handover
from shop_stack.services.handover import Handover

pytestmark = pytest.mark.pure


class Place:
    """Stands where a context would."""


def a_context() -> ServiceContext:
    return cast(ServiceContext, cast(Any, Place()))


def test_rows_come_out_as_they_went_in_up_to_the_limit() -> None:
    line, context = Handover(most=2), a_context()
    assert line.offer(context, "a", 1)
    assert line.offer(context, "b", 1)
    assert not line.offer(context, "c", 1)
    taken = [line.take(context), line.take(context), line.take(context)]
    assert [handed.row_id if handed else None for handed in taken] == ["a", "b", None]


def test_each_context_has_its_own_line() -> None:
    line, one, other = Handover(most=2), a_context(), a_context()
    line.offer(one, "a", 1)
    assert line.waiting(other) == 0
    assert line.waiting(one) == 1


def test_a_row_whose_transaction_never_commits_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    line, context = Handover(most=2), a_context()
    line.offer(context, "a", 1)
    handed = line.take(context)
    assert handed is not None
    line.put_back(context, handed)
    assert line.waiting(context) == 1
    line.take(context)
    monkeypatch.setattr(handover.time, "monotonic", lambda: handed.since + 6)
    line.put_back(context, handed)
    assert line.waiting(context) == 0
