"""How each of our Kafka clients connects: where, how patiently, how safely, and as whom; refusals as our errors."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka.errors import AuthorizationError, KafkaError

from shop_stack.errors import LogRefused, LogUnavailable, SettingError
from shop_stack.eventlog.kafka.refusals import REFUSALS, Client
from shop_stack.eventlog.kafka.selector import Selector
from shop_stack.kafka_access import KafkaAccess, variable

_HANDSHAKE_S = 3.0
_ENCRYPTED = ""  # the passphrase of a key that has none; without it OpenSSL would ask the terminal


def client_options(servers: str, access: KafkaAccess, bootstrap_s: float) -> dict[str, Any]:
    """The options that a consumer, a producer and the administrative client share.

    Reads the files that `access` names. Raises SettingError when one of them is not what it should be, and LogRefused
    when no broker has a certificate that we trust.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": servers.split(","),
        "bootstrap_timeout_ms": int(bootstrap_s * 1000),
        "reconnect_backoff_max_ms": 1000,  # a broker that restarts: the library's own 30 s would outlast it
        "selector": Selector,
        "kafka_client": Client,
        "security_protocol": access.security.upper(),
    }
    if access.tls:
        options["ssl_context"] = context = _tls(access)
        _check_certificates(servers, context)
    if access.sasl:
        options |= {
            "sasl_mechanism": access.sasl_mechanism,
            "sasl_plain_username": access.username,
            "sasl_plain_password": _password(access),
        }
    return options


@contextmanager
def unavailable(servers: str, access: KafkaAccess) -> Iterator[None]:
    """Raise LogUnavailable for whatever Kafka's client raises, and LogRefused when the broker does not let us in."""
    try:
        yield
    except REFUSALS as error:
        raise LogRefused(
            f"Kafka at {servers} does not let us in ({access.described()}: {error}); see {variable('username')}, "
            f"{variable('sasl_mechanism')} and the password in {access.password_file}"
        ) from error
    except AuthorizationError as error:
        raise LogRefused(
            f"Kafka at {servers} let us in ({access.described()}) and forbids this ({type(error).__name__}: {error}); "
            f"allow it by the cluster's ACLs"
        ) from error
    except KafkaError as error:
        raise LogUnavailable(
            f"Kafka at {servers} does not answer as it should ({type(error).__name__}: {error}); see whether the "
            f"broker runs and expects {access.described()} there ({variable('security')}), then try again"
        ) from error


def _tls(access: KafkaAccess) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # holds certificate and host name against each other
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(access.ca_file)
        except OSError as error:
            raise SettingError(
                f"{variable('ca_file')}: {access.ca_file} is no file of PEM certificates ({error})"
            ) from error
    if access.cert_file is not None and access.key_file is not None:
        try:
            context.load_cert_chain(access.cert_file, access.key_file, password=_ENCRYPTED)
        except OSError as error:
            raise SettingError(
                f"{variable('cert_file')} {access.cert_file} and {variable('key_file')} {access.key_file} are no PEM "
                f"certificate with its key, without a passphrase ({error})"
            ) from error
    return context


def _password(access: KafkaAccess) -> str:
    path = Path(access.password_file or "")
    try:
        password = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise SettingError(f"{variable('password_file')}: {path} cannot be read ({reason})") from None
    if not password:
        raise SettingError(f"{variable('password_file')}: {path} is empty; write the password into it")
    return password


def _check_certificates(servers: str, context: ssl.SSLContext) -> None:
    """Raise LogRefused when some broker's certificate is not trusted and no other's is.

    Kafka's client keeps such a refusal to itself and tries until its time is over.
    """
    refusal: ssl.SSLError | None = None
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        host = host.strip().strip("[]")
        try:
            with socket.create_connection((host, int(port)), timeout=_HANDSHAKE_S) as plain:
                context.wrap_socket(plain, server_hostname=host).close()
            return
        except ssl.SSLError as error:
            refusal = error
        except (OSError, ValueError):
            continue  # it does not answer: that is told by the client, which asks it more patiently
    if refusal is not None:
        why = getattr(refusal, "verify_message", "") or refusal.reason or str(refusal)
        raise LogRefused(
            f"no TLS with Kafka at {servers}: {why}; see whether {variable('ca_file')} names the authority that signed "
            f"the broker's certificate, whether that names the host as written here, and whether TLS is on at that port"
        ) from refusal
