"""Personal data under lock: each person's under a key of their own, e-mails recognised by a keyed mark alone.

Everything is sealed with AES-256-GCM (NIST SP 800-38D). A person's key lies wrapped beside the data; the key that
wraps it lies in the home's key folder and not in the database. To delete a person's wrapped key is to make every
copy of their sealed data unreadable, also in a backup of which nobody thought.
"""

import hashlib
import hmac
import os
from functools import lru_cache
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shop_stack.errors import SettingError

MASTER_BYTES = 32
_NONCE = 12


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """All that is personal; `email` and `password` (a hash) are None for a guest who only left an address."""

    email: str | None
    password: str | None
    name: str
    address: str
    country: str


_profile = msgspec.json.Decoder(Profile)


class Vault:
    """Seals and opens with one master key (32 bytes)."""

    def __init__(self, master: bytes) -> None:
        self._wrapping = AESGCM(_derived(master, b"wrapping"))
        self._marking = _derived(master, b"marking")
        self._telling = _derived(master, b"telling requests apart")

    def mark(self, email: str) -> str:
        """What an e-mail is recognised by: keyed, so that nobody without the master key can try e-mails out."""
        return hmac.new(self._marking, email.encode(), hashlib.sha256).hexdigest()

    def fingerprint(self, body: bytes) -> bytes:
        """What a request's body is told from another by: keyed, since a password in it could be tried out otherwise."""
        return hmac.new(self._telling, body, hashlib.sha256).digest()

    def new_key(self, customer_id: str) -> bytes:
        """A fresh key for a person, wrapped."""
        return _sealed(self._wrapping, AESGCM.generate_key(256), customer_id)

    def seal(self, wrapped: bytes, customer_id: str, profile: Profile) -> bytes:
        """A profile under the person's key."""
        return _sealed(self._own(wrapped, customer_id), msgspec.json.encode(profile), customer_id)

    def open(self, wrapped: bytes, customer_id: str, sealed: bytes) -> Profile:
        """A sealed profile. Raises cryptography's InvalidTag when the key or the person is another."""
        return _profile.decode(_opened(self._own(wrapped, customer_id), sealed, customer_id))

    def _own(self, wrapped: bytes, customer_id: str) -> AESGCM:
        return AESGCM(_opened(self._wrapping, wrapped, customer_id))


@lru_cache(maxsize=4)
def vault_of(key_file: Path) -> Vault:
    """The vault whose master key lies in this file. Raises SettingError when there is none."""
    try:
        master = key_file.read_bytes()
    except OSError as error:
        raise SettingError(
            f"cannot read {key_file} ({error.strerror}); without it nobody's data can be read"
        ) from error
    if len(master) != MASTER_BYTES:
        raise SettingError(f"{key_file} is no key of {MASTER_BYTES} bytes; bring the right one back from a backup")
    return Vault(master)


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hmac.new(master, purpose, hashlib.sha256).digest()


def _sealed(key: AESGCM, plain: bytes, person: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + key.encrypt(nonce, plain, person.encode())


def _opened(key: AESGCM, sealed: bytes, person: str) -> bytes:
    return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], person.encode())
