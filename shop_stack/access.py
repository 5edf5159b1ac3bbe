"""Who may do what: two issuers with their own keys and audiences, tokens, and the roles of operators."""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from shop_stack.errors import AccessDenied
from shop_stack.settings import Home

Issuer = Literal["shoppers", "operators"]
ISSUERS: tuple[Issuer, ...] = ("shoppers", "operators")
ROLES = ("viewer", "manager", "operator", "admin")
AUDIENCES: dict[Issuer, str] = {"shoppers": "shop", "operators": "operations"}
_TOKEN_FILE_ROLES = ("operator", "viewer", "admin")


@dataclass(frozen=True)
class Principal:
    """Whom a token speaks for: `subject`, and `role` (`guest` or `customer` for shoppers, else one of ROLES)."""

    subject: str
    role: str

    def may(self, least: str) -> bool:
        """Whether this operator's role is at least `least` (viewer < manager < operator < admin)."""
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(least)


def issuer_name(issuer: Issuer) -> str:
    """The `iss` claim."""
    return f"https://shopfloor.local/{issuer}"


def prepare_keys(home: Home, now: datetime) -> None:
    """Make what is missing: each issuer's key pair (ES256) and JWKS file, the operators' tokens, the people's key."""
    home.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for issuer in ISSUERS:
        if not _private_path(home, issuer).exists():
            _make_key(home, issuer)
    for role in _TOKEN_FILE_ROLES:
        if not home.token(role).exists():
            token = Signer(home, "operators").issue(role, role, now, timedelta(days=3650))
            _write_secret(home.token(role), token.encode())
    if not home.people_key.exists():
        _write_secret(home.people_key, secrets.token_bytes(32))


def jwks_path(home: Home, issuer: Issuer) -> Path:
    """The issuer's public keys as a JWKS file, for Envoy."""
    return home.keys / f"{issuer}.jwks.json"


class Signer:
    """Issues tokens of one issuer with its private key; keep one a process, signing costs about 60 us."""

    def __init__(self, home: Home, issuer: Issuer) -> None:
        self._issuer: Issuer = issuer
        self._key = load_pem_private_key(_private_path(home, issuer).read_bytes(), password=None)
        self._key_id = json.loads(jwks_path(home, issuer).read_text())["keys"][0]["kid"]

    def issue(self, subject: str, role: str, now: datetime, lifetime: timedelta) -> str:
        """A signed token for `subject` with `role`, good from `now` for `lifetime`."""
        claims = {
            "iss": issuer_name(self._issuer),
            "aud": AUDIENCES[self._issuer],
            "sub": subject,
            "role": role,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})  # type: ignore[arg-type]


class Verifier:
    """Checks tokens of one issuer against its JWKS file."""

    def __init__(self, home: Home, issuer: Issuer) -> None:
        self._issuer: Issuer = issuer
        keys = json.loads(jwks_path(home, issuer).read_text())["keys"]
        self._keys = {key["kid"]: jwt.PyJWK(key).key for key in keys}

    def principal(self, authorization: str | None) -> Principal:
        """Whom an `Authorization: Bearer` header speaks for. Raises AccessDenied with the reason."""
        if not authorization or not authorization.lower().startswith("bearer "):
            raise AccessDenied(f"a bearer token of the {self._issuer}' issuer is needed")
        token = authorization[7:].strip()
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims = jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience=AUDIENCES[self._issuer],
                issuer=issuer_name(self._issuer),
                options={"require": ["exp", "iat", "sub"]},
            )
        except KeyError:
            raise AccessDenied("the token was signed with an unknown key; sign in again") from None
        except jwt.InvalidTokenError as error:
            raise AccessDenied(f"the token is not valid here: {error}") from error
        return Principal(subject=str(claims["sub"]), role=str(claims.get("role", "")))


def read_token(home: Home, role: str = "operator") -> str:
    """The token file of a role. Raises AccessDenied when it is not there or not readable."""
    try:
        return home.token(role).read_text().strip()
    except OSError as error:
        raise AccessDenied(f"cannot read {home.token(role)} ({error.strerror}); it is made by: shopfloor up") from error


def _private_path(home: Home, issuer: Issuer) -> Path:
    return home.private_keys / f"{issuer}.pem"


def _make_key(home: Home, issuer: Issuer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(key.public_key(), as_dict=True)
    public |= {"kid": secrets.token_hex(8), "alg": "ES256", "use": "sig"}
    jwks_path(home, issuer).write_text(json.dumps({"keys": [public]}))
    _write_secret(_private_path(home, issuer), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write_secret(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
