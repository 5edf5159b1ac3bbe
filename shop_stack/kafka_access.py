"""How a Kafka cluster is reached: in the clear or by TLS, and as whom; read from SHOPFLOOR_KAFKA_* variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec

from shop_stack.errors import SettingError

Security = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PREFIX = "SHOPFLOOR_KAFKA_"
_FILES = ("password_file", "ca_file", "cert_file", "key_file")
_FIELDS = ("security", "sasl_mechanism", "username", *_FILES)


class KafkaAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Files are paths; the password is read from its file when a connection is opened, and kept nowhere else.

    Without `ca_file` the machine's own authorities are trusted. A broker's host name is always held against its
    certificate. `cert_file` and `key_file` are PEM, the key without a passphrase, for brokers that ask for one.
    """

    security: Security = "plaintext"
    sasl_mechanism: Mechanism | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    @property
    def tls(self) -> bool:
        return self.security in ("ssl", "sasl_ssl")

    @property
    def sasl(self) -> bool:
        return self.security in ("sasl_plaintext", "sasl_ssl")

    def described(self) -> str:
        """In a person's words, without what is secret: `sasl_ssl, PLAIN as shop`."""
        return f"{self.security}, {self.sasl_mechanism} as {self.username}" if self.sasl else self.security


IN_THE_CLEAR = KafkaAccess()


def kafka_access(environment: Mapping[str, str]) -> KafkaAccess:
    """What the variables say. Raises SettingError, which names the variable, when they contradict each other."""
    said = {field: environment.get(variable(field), "").strip() or None for field in _FIELDS}
    files = {field: str(Path(path).expanduser().resolve()) for field, path in said.items() if path and field in _FILES}
    security = (said["security"] or "plaintext").lower()
    mechanism = said["sasl_mechanism"].upper() if said["sasl_mechanism"] else None
    _check_one_of("security", security, get_args(Security))
    if mechanism is not None:
        _check_one_of("sasl_mechanism", mechanism, get_args(Mechanism))
    access = KafkaAccess(**{  # type: ignore[arg-type]
        **said, **files, "security": cast(Security, security), "sasl_mechanism": cast(Mechanism | None, mechanism),
    })  # fmt: skip
    _check_goes_with(access.sasl, said, ("sasl_mechanism", "username", "password_file"), needed=True)
    _check_goes_with(access.tls, said, ("ca_file", "cert_file", "key_file"), needed=False)
    if (access.cert_file is None) != (access.key_file is None):
        raise SettingError(f"{variable('cert_file')} and {variable('key_file')} go together: set both or neither")
    return access


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def _check_one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingError(f"{variable(field)}: {value!r} is not one of: {', '.join(known)}")


def _check_goes_with(used: bool, said: Mapping[str, str | None], fields: tuple[str, ...], *, needed: bool) -> None:
    security = f"{variable('security')} {said['security'] or 'plaintext'}"
    for field in fields:
        if said[field] and not used:
            raise SettingError(
                f"{variable(field)} is set and {security} does not use it; set the one or leave the other"
            )
        if needed and used and not said[field]:
            raise SettingError(f"{variable(field)} is not set and {security} needs it")
