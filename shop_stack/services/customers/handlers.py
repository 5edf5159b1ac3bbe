"""HTTP of customers: sessions, registration, one's own account, addresses for labels, export and erasure."""

import os
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.exceptions import (
    HTTPException,
    NotAuthorizedException,
    NotFoundException,
    TooManyRequestsException,
    ValidationException,
)
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, RawBody
from msgspec import Meta

from shop_stack.access import Signer, Verifier
from shop_stack.errors import AccessDenied
from shop_stack.events import CustomerRegistered, CustomerSignedIn
from shop_stack.hosting.service import Answer, ServiceContext, Transaction
from shop_stack.ids import uuid7
from shop_stack.leads import Lead, leads_to
from shop_stack.services.answers import SAME_SUBJECT, IdempotencyKey, PathId, Role, Subject, answer_of, to_us
from shop_stack.services.customers import erasure, rules, store
from shop_stack.services.customers.erasure import Certificate, ErasureAsked
from shop_stack.services.customers.export import Export, export
from shop_stack.services.customers.vault import Profile, Vault, vault_of
from shop_stack.settings import Home

SESSION = timedelta(hours=12)
# Blanks and control characters spelled out: what counts as \s differs between regular expressions, and this one is
# told to callers in the API's description.
_LETTER = r"[^@\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u3000\ufeff]"
Email = Annotated[str, Meta(pattern=f"^{_LETTER}{{1,64}}@{_LETTER}{{1,189}}$", max_length=254)]
Password = Annotated[str, Meta(min_length=8, max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Address = Annotated[str, Meta(min_length=1, max_length=1000)]
Country = Annotated[str, Meta(min_length=2, max_length=64)]


_WRONG = NotAuthorizedException("the e-mail or the password is wrong")


class SessionAsked(msgspec.Struct, forbid_unknown_fields=True):
    """A guest session (all empty) or a sign-in; `guest_token` says which guest signs in."""

    email: Annotated[str, Meta(max_length=254)] | None = None
    password: Annotated[str, Meta(max_length=200)] | None = None
    guest_token: Annotated[str, Meta(max_length=4000)] | None = None


class Session(msgspec.Struct):
    """A bearer token for `subject`, good for 12 hours."""

    token: str
    subject: str


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """What opens an account."""

    email: Email
    password: Password
    name: Name
    address: Address
    country: Country


class Registered(msgspec.Struct):
    """A new account with its first session."""

    customer_id: str
    token: str


class Details(msgspec.Struct, forbid_unknown_fields=True):
    """Where parcels go."""

    name: Name
    address: Address
    country: Country


class Me(msgspec.Struct):
    """One's own account; `email` is None for a guest."""

    customer_id: str
    email: str | None
    name: str
    address: str
    country: str


class PostalAddress(msgspec.Struct):
    """What stands on a label."""

    customer_id: str
    name: str
    address: str
    country: str


class PersonAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Whose account has this e-mail?"""

    email: Annotated[str, Meta(min_length=1, max_length=254)]


class PersonFound(msgspec.Struct):
    """Theirs."""

    customer_id: str


_PERSON = {"path.customer_id": "$response.body#/customer_id"}
_FROM_A_NEW_ACCOUNT = leads_to(
    Lead("get", "/v1/addresses/{customer_id}", _PERSON),
    Lead("get", "/v1/people/{customer_id}/export", _PERSON),
    Lead("put", "/v1/people/{customer_id}/erasure", _PERSON),
)
_FROM_AN_ERASURE = leads_to(Lead("get", "/v1/people/{customer_id}/erasure", _PERSON))
_FROM_A_SESSION = leads_to(Lead("put", "/v1/me", {"header.x-subject": "$response.body#/subject"}))
_FROM_MY_DETAILS = leads_to(Lead("get", "/v1/me", SAME_SUBJECT), Lead("delete", "/v1/me", SAME_SUBJECT))
_FROM_MY_ERASURE = leads_to(Lead("get", "/v1/me/erasure", SAME_SUBJECT))


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The customers' HTTP handlers."""

    @post("/v1/sessions", sync_to_thread=True, opt=_FROM_A_SESSION)
    def open_session(data: JSONBody[SessionAsked]) -> Session:
        return _open_session(context, data)

    @post("/v1/customers", sync_to_thread=True, opt=_FROM_A_NEW_ACCOUNT)
    def register(data: JSONBody[Registration], body: RawBody, idempotency_key: IdempotencyKey) -> Registered:
        return _register(context, data, body, idempotency_key)

    return [open_session, register, *_own_routes(context), *_inner_routes(context)]


def _own_routes(context: ServiceContext) -> list[HTTPRouteHandler]:
    """What a person may see and do with their own account."""

    @get("/v1/me", sync_to_thread=True)
    def me(subject: Subject) -> Me:
        return _me(_account(context, subject))

    @put("/v1/me", sync_to_thread=True, opt=_FROM_MY_DETAILS)
    def change_me(data: JSONBody[Details], subject: Subject, role: Role = "guest") -> Me:
        return _change_me(context, subject, role, data)

    @delete("/v1/me", status_code=202, sync_to_thread=True, opt=_FROM_MY_ERASURE)
    def erase_me(subject: Subject) -> Certificate:
        """Erase all that the shop knows of me, once my open orders have ended (GDPR 17)."""
        return erasure.ask(context, subject, erasure.THE_PERSON, "the person asked")

    @get("/v1/me/erasure", sync_to_thread=True)
    def my_erasure(subject: Subject) -> Certificate:
        """How far my erasure is, and what was erased where."""
        return erasure.certificate(context, subject)

    @get("/v1/me/export", sync_to_thread=True)
    def export_me(subject: Subject) -> Export:
        """All that the shop knows of me, for reading and for taking elsewhere (GDPR 15, 20)."""
        return export(context, subject)

    return [me, change_me, erase_me, my_erasure, export_me]


def _inner_routes(context: ServiceContext) -> list[HTTPRouteHandler]:
    """For shipping and operations, by the mesh alone: the gateway has no route to these."""

    @get("/v1/addresses/{customer_id:str}", sync_to_thread=True)
    def address(customer_id: PathId) -> PostalAddress:
        profile = _account(context, customer_id).profile
        return PostalAddress(customer_id, profile.name, profile.address, profile.country)

    @post("/v1/people/search", status_code=200, sync_to_thread=True)
    def find_person(data: JSONBody[PersonAsked]) -> PersonFound:
        with context.read() as connection:
            found = store.account_by_email(connection, _vault(context), rules.same_email(data.email))
        if found is None:
            raise NotFoundException("nobody has an account with this e-mail")
        return PersonFound(found.customer_id)

    @get("/v1/people/{customer_id:str}/export", sync_to_thread=True)
    def export_person(customer_id: PathId) -> Export:
        return export(context, customer_id)

    @put("/v1/people/{customer_id:str}/erasure", status_code=202, sync_to_thread=True, opt=_FROM_AN_ERASURE)
    def erase_person(customer_id: PathId, data: JSONBody[ErasureAsked]) -> Certificate:
        return erasure.ask(context, customer_id, data.asked_by, data.because)

    @get("/v1/people/{customer_id:str}/erasure", sync_to_thread=True)
    def show_erasure(customer_id: PathId) -> Certificate:
        return erasure.certificate(context, customer_id)

    return [address, find_person, export_person, erase_person, show_erasure]


def _open_session(context: ServiceContext, asked: SessionAsked) -> Session:
    """A guest's session stores nothing, so nothing of it needs a key: a repeat is one more unused token."""
    if asked.email is None and asked.password is None:
        subject = str(uuid.uuid4())
        return Session(_token(context, subject, "guest"), subject)
    if asked.email is None or asked.password is None:
        raise HTTPException(
            status_code=422, detail="a sign-in needs both email and password; a guest session needs neither"
        )
    subject = _sign_in(context, rules.same_email(asked.email), asked.password, asked.guest_token)
    return Session(_token(context, subject, "customer"), subject)


def _sign_in(context: ServiceContext, email: str, password: str, guest_token: str | None) -> str:
    now_us = to_us(context.now())
    vault = _vault(context)
    mark = vault.mark(email)
    with context.read() as connection:
        failed = store.failures(connection, mark, now_us - rules.FAILURE_WINDOW_US)
        account = store.account_by_email(connection, vault, email)
    patience = rules.patience(failed, now_us)
    if not patience.may_try:
        raise TooManyRequestsException(
            f"too many failed sign-ins for this e-mail; try again in {patience.retry_after_s} s",
            headers={"retry-after": str(patience.retry_after_s)},
        )
    # An unknown e-mail is hashed too, so that the time does not tell which e-mails have an account.
    kept = account.profile.password if account is not None else None
    if not rules.password_fits(password, kept or _nobodys_hash()) or account is None:
        with context.write() as transaction:
            store.add_failure(transaction.connection, mark, now_us)
        raise _WRONG
    guest_id = _guest_of(context, guest_token)
    with context.write() as transaction:
        store.hold_person(transaction, account.customer_id)
        if guest_id is not None:
            transaction.hold(f"guest {guest_id}")
        if not store.holds_anything(transaction.connection, account.customer_id):
            raise _WRONG
        if failed:
            store.forget_failures(transaction.connection, now_us, mark)
        if guest_id is not None:
            store.add_guest(transaction.connection, guest_id, account.customer_id)
        version = store.next_version(transaction.connection, account.customer_id)
        signed_in = CustomerSignedIn(customer_id=account.customer_id, guest_id=guest_id)
        transaction.publish(signed_in, subject=account.customer_id, sequence=version)
    return account.customer_id


def _guest_of(context: ServiceContext, guest_token: str | None) -> str | None:
    if guest_token is None:
        return None
    try:
        principal = Verifier(context.settings.home, "shoppers").principal(f"Bearer {guest_token}")
    except AccessDenied as error:
        raise ValidationException(f"guest_token: {error}") from error
    return principal.subject if principal.role == "guest" else None


def _register(context: ServiceContext, asked: Registration, body: bytes, key: str) -> Registered:
    vault = _vault(context)
    email = rules.same_email(asked.email)
    password = rules.hash_password(asked.password, os.urandom(rules.SALT_BYTES))
    profile = Profile(email=email, password=password, name=asked.name, address=asked.address, country=asked.country)

    def work(transaction: Transaction) -> Answer:
        transaction.hold(f"mark {vault.mark(email)}")
        if store.account_by_email(transaction.connection, vault, email) is not None:
            raise HTTPException(status_code=409, detail="this e-mail has an account already; sign in instead")
        customer_id = uuid7(transaction.now)
        store.add(transaction.connection, vault, customer_id, profile, 1, to_us(transaction.now))
        registered = CustomerRegistered(customer_id=customer_id)
        transaction.publish(registered, subject=customer_id, sequence=1)
        return answer_of(201, customer_id)

    # What is kept says nothing: of the answer the id alone, no token; of the body a keyed fingerprint.
    fingerprint = vault.fingerprint(body)
    customer_id = str(context.once(key, "", "POST", "/v1/customers", fingerprint, work).json())
    return Registered(customer_id, _token(context, customer_id, "customer"))


def _change_me(context: ServiceContext, subject: str, role: str, details: Details) -> Me:
    vault = _vault(context)
    given = {"name": details.name, "address": details.address, "country": details.country}
    with context.write() as transaction:
        store.hold_person(transaction, subject)
        connection = transaction.connection
        known = store.account_by_id(connection, vault, subject)
        if known is not None:
            store.change(connection, vault, subject, msgspec.structs.replace(known.profile, **given))
        elif role == "customer":
            raise NotFoundException("this account is gone")
        else:
            guest = Profile(email=None, password=None, **given)
            store.add(connection, vault, subject, guest, 0, to_us(transaction.now))
    return _me(_account(context, subject))


def _account(context: ServiceContext, customer_id: str) -> store.Account:
    with context.read() as connection:
        account = store.account_by_id(connection, _vault(context), customer_id)
    if account is None:
        raise NotFoundException("nobody of this id has left an address; a guest leaves one by PUT /v1/me")
    return account


def _me(account: store.Account) -> Me:
    profile = account.profile
    return Me(account.customer_id, profile.email, profile.name, profile.address, profile.country)


def _vault(context: ServiceContext) -> Vault:
    return vault_of(context.settings.home.people_key)


def _token(context: ServiceContext, subject: str, role: str) -> str:
    return _signer(context.settings.home).issue(subject, role, context.now(), SESSION)


@lru_cache(maxsize=4)
def _signer(home: Home) -> Signer:
    return Signer(home, "shoppers")


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return rules.hash_password(os.urandom(12).hex(), os.urandom(rules.SALT_BYTES))


def forget_failures(context: ServiceContext) -> bool:
    """Timer: drop failed sign-ins that no longer count."""
    with context.write() as transaction:
        store.forget_failures(transaction.connection, to_us(transaction.now) - rules.FAILURE_WINDOW_US)
    return False


def prepare(transaction: Transaction, context: ServiceContext) -> None:
    """Make a store of an older version ready."""
    store.take_over_plain_accounts(transaction.connection, _vault(context))
