"""Sealed data opens under its own key and person alone, and an erasure is complete when every place has answered."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from shop_stack.errors import SettingError
from shop_stack.services.customers import rules
from shop_stack.services.customers.vault import Profile, Vault, vault_of

pytestmark = pytest.mark.pure
VAULT = Vault(bytes(range(32)))
TEXTS = st.text(max_size=40)


@given(TEXTS, TEXTS, TEXTS, st.none() | TEXTS)
def test_what_is_sealed_is_opened_again_and_cannot_be_read(name: str, address: str, person: str, email: str | None):
    profile = Profile(email=email, password=None, name=name, address=address, country="GB")
    key = VAULT.new_key(person)
    sealed = VAULT.seal(key, person, profile)
    assert VAULT.open(key, person, sealed) == profile
    assert json.dumps(address)[1:-1].encode() not in sealed or len(address) < 3


def test_neither_another_key_nor_another_person_nor_another_master_opens_it():
    profile = Profile(email="a@b", password="x", name="n", address="a", country="GB")
    key = VAULT.new_key("jane")
    sealed = VAULT.seal(key, "jane", profile)
    for vault, wrapped, person in (
        (VAULT, VAULT.new_key("jane"), "jane"),
        (VAULT, key, "john"),
        (Vault(bytes(32)), key, "jane"),
    ):
        with pytest.raises(InvalidTag):
            vault.open(wrapped, person, sealed)


def test_an_email_is_known_by_its_mark_and_the_mark_needs_the_master():
    assert VAULT.mark("jane@example.com") == Vault(bytes(range(32))).mark("jane@example.com")
    assert VAULT.mark("jane@example.com") != VAULT.mark("john@example.com")
    assert VAULT.mark("jane@example.com") != Vault(bytes(32)).mark("jane@example.com")


def test_a_missing_or_cut_master_key_is_said(tmp_path: Path):
    with pytest.raises(SettingError, match="cannot read"):
        vault_of(tmp_path / "people.key")
    (tmp_path / "cut.key").write_bytes(b"short")
    with pytest.raises(SettingError, match="no key of 32 bytes"):
        vault_of(tmp_path / "cut.key")


def test_an_erasure_is_complete_once_every_place_answered_for_every_id():
    everywhere = {(one, place) for one in ("jane", "guest") for place in rules.PLACES}
    assert rules.erasure_state(False, ["jane"], everywhere) == "waiting"
    assert rules.erasure_state(True, ["jane", "guest"], everywhere) == "complete"
    for pair in everywhere:
        assert rules.erasure_state(True, ["jane", "guest"], everywhere - {pair}) == "erasing"
        assert rules.missing_places(["jane", "guest"], everywhere - {pair}) == [pair[1]]


@pytest.mark.parametrize(("looks", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (7, 60), (10_000, 60)])
def test_a_waiting_erasure_is_looked_at_ever_less_often(looks: int, seconds: float):
    assert rules.look_again_s(looks) == seconds
