"""HTTP of customers: guest sessions, sign-in, registration, one's own account, and addresses for labels."""

import os
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from litestar import get, post, put
from litestar.exceptions import (
    HTTPException,
    NotAuthorizedException,
    NotFoundException,
    TooManyRequestsException,
    ValidationException,
)
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, RawBody
from msgspec import Meta

from shop_stack.access import Signer, Verifier
from shop_stack.errors import AccessDenied
from shop_stack.events import CustomerRegistered, CustomerSignedIn
from shop_stack.hosting.service import Answer, ServiceContext, Transaction
from shop_stack.ids import uuid7
from shop_stack.services.answers import IdempotencyKey, Role, Subject, answer_of, to_us
from shop_stack.services.customers import rules, store
from shop_stack.settings import Home

SESSION = timedelta(hours=12)
Email = Annotated[str, Meta(pattern=r"^[^@\s]{1,64}@[^@\s]{1,189}$", max_length=254)]
Password = Annotated[str, Meta(min_length=8, max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Address = Annotated[str, Meta(min_length=1, max_length=1000)]
Country = Annotated[str, Meta(min_length=2, max_length=64)]


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


def routes(context: ServiceContext) -> Sequence[HTTPRouteHandler]:
    """The customers' HTTP handlers."""

    @post("/v1/sessions", sync_to_thread=True)
    def open_session(data: JSONBody[SessionAsked]) -> Session:
        return _open_session(context, data)

    @post("/v1/customers", sync_to_thread=True)
    def register(data: JSONBody[Registration], body: RawBody, idempotency_key: IdempotencyKey) -> Registered:
        return _register(context, data, body, idempotency_key)

    @get("/v1/me", sync_to_thread=True)
    def me(subject: Subject) -> Me:
        return Me(**_fields(_account(context, subject), Me))

    @put("/v1/me", sync_to_thread=True)
    def change_me(data: JSONBody[Details], subject: Subject, role: Role = "guest") -> Me:
        return _change_me(context, subject, role, data)

    @get("/v1/addresses/{customer_id:str}", sync_to_thread=True)
    def address(customer_id: FromPath[str]) -> PostalAddress:
        return PostalAddress(**_fields(_account(context, customer_id), PostalAddress))

    return [open_session, register, me, change_me, address]


def _open_session(context: ServiceContext, asked: SessionAsked) -> Session:
    """A guest's session stores nothing, so nothing of it needs a key: a repeat is one more unused token."""
    if asked.email is None and asked.password is None:
        subject = str(uuid.uuid4())
        return Session(_token(context, subject, "guest"), subject)
    if asked.email is None or asked.password is None:
        raise ValidationException("a sign-in needs both email and password; a guest session needs neither")
    subject = _sign_in(context, rules.same_email(asked.email), asked.password, asked.guest_token)
    return Session(_token(context, subject, "customer"), subject)


def _sign_in(context: ServiceContext, email: str, password: str, guest_token: str | None) -> str:
    now_us = to_us(context.now())
    with context.read() as connection:
        failed = store.failures(connection, email, now_us - rules.FAILURE_WINDOW_US)
        account = store.account_by_email(connection, email)
    patience = rules.patience(failed, now_us)
    if not patience.may_try:
        raise TooManyRequestsException(
            f"too many failed sign-ins for this e-mail; try again in {patience.retry_after_s} s",
            headers={"retry-after": str(patience.retry_after_s)},
        )
    # An unknown e-mail is hashed too, so that the time does not tell which e-mails have an account.
    fits = rules.password_fits(password, account.password if account and account.password else _nobodys_hash())
    if account is None or not fits:
        with context.write() as transaction:
            store.add_failure(transaction.connection, email, now_us)
        raise NotAuthorizedException("the e-mail or the password is wrong")
    guest_id = _guest_of(context, guest_token)
    with context.write() as transaction:
        if failed:
            store.forget_failures(transaction.connection, now_us, email)
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
    email = rules.same_email(asked.email)
    password = rules.hash_password(asked.password, os.urandom(rules.SALT_BYTES))

    def work(transaction: Transaction) -> Answer:
        if store.account_by_email(transaction.connection, email) is not None:
            raise HTTPException(status_code=409, detail="this e-mail has an account already; sign in instead")
        customer_id = uuid7(transaction.now)
        account = store.Account(customer_id, email, password, asked.name, asked.address, asked.country, 1)
        store.add(transaction.connection, account, to_us(transaction.now))
        registered = CustomerRegistered(customer_id=customer_id, country=asked.country)
        transaction.publish(registered, subject=customer_id, sequence=1)
        return answer_of(201, customer_id)

    # The kept answer is the id alone: no token lies in the store.
    customer_id = str(context.once(key, "", "POST", "/v1/customers", body, work).json())
    return Registered(customer_id, _token(context, customer_id, "customer"))


def _change_me(context: ServiceContext, subject: str, role: str, details: Details) -> Me:
    with context.write() as transaction:
        connection = transaction.connection
        if not store.change(connection, subject, details.name, details.address, details.country):
            if role == "customer":
                raise NotFoundException("this account is gone")
            guest = store.Account(subject, None, None, details.name, details.address, details.country, 1)
            store.add(connection, guest, to_us(transaction.now))
    return Me(**_fields(_account(context, subject), Me))


def _account(context: ServiceContext, customer_id: str) -> store.Account:
    with context.read() as connection:
        account = store.account_by_id(connection, customer_id)
    if account is None:
        raise NotFoundException("nobody of this id has left an address; a guest leaves one by PUT /v1/me")
    return account


def _fields(account: store.Account, shape: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: getattr(account, name) for name in shape.__struct_fields__}


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
