"""Passwords fit only themselves, and the sixth failed sign-in of a minute waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.services.customers import rules

pytestmark = pytest.mark.pure

SALT = bytes(range(rules.SALT_BYTES))
SECOND = 1_000_000


def test_a_password_fits_its_own_hash_and_no_other():
    kept = rules.hash_password("correct horse", SALT)
    assert rules.password_fits("correct horse", kept)
    assert not rules.password_fits("Correct horse", kept)


def test_a_hash_does_not_hold_the_password_and_differs_by_salt():
    kept = rules.hash_password("correct horse", SALT)
    assert "correct" not in kept
    assert kept != rules.hash_password("correct horse", bytes(rules.SALT_BYTES))


def test_a_hash_of_other_cost_still_fits():
    assert rules.password_fits("x", "scrypt$16$1$1$00$" + rules._derive("x", b"\0", 16, 1, 1).hex())


def test_emails_are_the_same_whatever_their_case():
    assert rules.same_email("  Jane@Example.ORG ") == "jane@example.org"


def test_five_failures_in_a_minute_are_enough():
    failures = [n * SECOND for n in range(5)]
    assert rules.patience(failures[:4], 5 * SECOND).may_try
    waiting = rules.patience(failures, 5 * SECOND)
    assert not waiting.may_try
    assert waiting.retry_after_s == 55
    assert rules.patience(failures, 60 * SECOND).may_try


@given(st.lists(st.integers(0, 200 * SECOND), max_size=12), st.integers(200 * SECOND, 300 * SECOND))
def test_after_the_time_said_a_sign_in_may_be_tried(failures: list[int], now: int):
    said = rules.patience(failures, now)
    assert said.may_try == (said.retry_after_s == 0)
    assert rules.patience(failures, now + said.retry_after_s * SECOND).may_try
