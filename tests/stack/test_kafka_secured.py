"""The Kafka log against a broker with TLS and SASL: all that a log does, and what each refusal says."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from shop_stack.errors import LogRefused, LogUnavailable, SettingError
from shop_stack.eventlog.interface import Record
from shop_stack.eventlog.kafka import KafkaLog
from shop_stack.eventlog.opening import open_log
from shop_stack.kafka_access import PREFIX, kafka_access
from shop_stack.settings import from_environment, settings_from, to_environment
from tests import needs
from tests.brokers import free_ports, running_broker
from tests.certificates import Authority
from tests.contracts.event_log_places import drain, positions_after, read_all

pytestmark = pytest.mark.real
PASSWORD = "correct-horse-battery"
_PLAIN_USERS = (
    f'org.apache.kafka.common.security.plain.PlainLoginModule required user_shop="{PASSWORD}" user_other="another";'
)
_SCRAM_USERS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Secured:
    """A broker's doors: SASL over TLS, SASL in the clear, and TLS that asks for our certificate."""

    folder: Path
    sasl_ssl: str
    sasl_plaintext: str
    plain_alone: str
    mutual: str
    authority: Authority

    def access(self, security: str, mechanism: str = "PLAIN", **more: object) -> dict[str, str]:
        """SHOPFLOOR_KAFKA_* variables that this broker lets in, unless `more` says otherwise."""
        said: dict[str, object] = {"security": security}
        if security.startswith("sasl"):
            said |= {"sasl_mechanism": mechanism, "username": "shop", "password_file": self.folder / "password"}
        if security.endswith("ssl"):
            said |= {"ca_file": self.authority.certificate}
        return {PREFIX + field.upper(): str(value) for field, value in (said | more).items()}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder, "authority")
    certificate, key = authority.sign("broker", "127.0.0.1")
    (folder / "keystore.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    (folder / "password").write_text(f"{PASSWORD}\n")
    names = ("SASL_SSL", "SASL_PLAINTEXT", "PLAIN_ALONE", "MUTUAL")
    places = dict(zip(names, (f"127.0.0.1:{port}" for port in free_ports(len(names))), strict=True))
    listeners = ",".join(f"{name}://{place}" for name, place in places.items())
    settings: dict[str, object] = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,"
        "PLAIN_ALONE:SASL_PLAINTEXT,MUTUAL:SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "keystore.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.certificate,
        "listener.name.mutual.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    }
    settings["listener.name.plain_alone.sasl.enabled.mechanisms"] = "PLAIN"
    for door in ("plain_alone", "sasl_ssl", "sasl_plaintext"):
        settings[f"listener.name.{door}.plain.sasl.jaas.config"] = _PLAIN_USERS
        settings[f"listener.name.{door}.scram-sha-256.sasl.jaas.config"] = _SCRAM_USERS
        settings[f"listener.name.{door}.scram-sha-512.sasl.jaas.config"] = _SCRAM_USERS
    scram = [f"--add-scram={kind}=[name=shop,password={PASSWORD}]" for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    with running_broker(folder / "broker", needs.kafka(), settings, scram):
        yield Secured(folder, places["SASL_SSL"], *[places[name] for name in names[1:]], authority)


def opened(place: str, variables: Mapping[str, str], bootstrap_s: float = 10.0) -> KafkaLog:
    return KafkaLog(place, access=kafka_access(variables), bootstrap_s=bootstrap_s)


def test_all_that_a_log_does_is_done_by_tls_and_sasl(secured: Secured) -> None:
    with opened(secured.sasl_ssl, secured.access("sasl_ssl")) as log:
        log.append("shop.orders", [Record(f"k{i}", str(i).encode()) for i in range(20)])
        consumer = log.subscribe("secured", ["shop.orders"])
        found = drain([consumer], lambda records: len(records) == 20, commit=False)
        consumer.commit(positions_after(found[:-1]))
        last = (found[-1].topic, found[-1].partition)
        consumer.commit({last: found[-1].position})
        assert sum(log.lag("secured").values()) == 1
        consumer.commit(positions_after(found))
        assert sum(log.lag("secured").values()) == 0
        assert {record.value for record in read_all(log, "shop.orders")} == {str(i).encode() for i in range(20)}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("security", ["sasl_plaintext", "sasl_ssl"])
def test_every_mechanism_lets_us_in(secured: Secured, security: str, mechanism: str) -> None:
    with opened(getattr(secured, security), secured.access(security, mechanism)) as log:
        assert len(log.append("shop.catalog", [Record("k", b"x")])) == 1


def test_a_broker_that_asks_for_our_certificate_gets_it_and_refuses_who_has_none(secured: Secured) -> None:
    certificate, key = secured.authority.sign("client", "127.0.0.1")
    with opened(secured.mutual, secured.access("ssl", cert_file=certificate, key_file=key)) as log:
        assert log.append("shop.catalog", [Record("k", b"x")])
    with pytest.raises(LogUnavailable, match=r"expects ssl there"):
        opened(secured.mutual, secured.access("ssl"), bootstrap_s=2.0)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_said_at_once_and_is_not_told(secured: Secured, mechanism: str) -> None:
    wrong = secured.folder / "wrong"
    wrong.write_text("not-the-password\n")
    with pytest.raises(LogRefused, match=r"does not let us in.* as shop.*SHOPFLOOR_KAFKA_USERNAME") as refused:
        opened(secured.sasl_ssl, secured.access("sasl_ssl", mechanism, password_file=wrong))
    said = f"{refused.value} {refused.value.__cause__!r}"
    assert str(wrong) in said
    assert "not-the-password" not in said
    assert PASSWORD not in said


def test_a_mechanism_that_the_broker_has_not_is_named(secured: Secured) -> None:
    # The broker answers and hangs up at once; Kafka's client hears the answer or only the hanging up.
    with pytest.raises(LogUnavailable, match="SCRAM-SHA-256 as shop"):
        opened(secured.plain_alone, secured.access("sasl_plaintext", "SCRAM-SHA-256"), bootstrap_s=2.0)


def test_a_certificate_of_an_unknown_authority_is_refused(secured: Secured, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").certificate
    with pytest.raises(LogRefused, match="SHOPFLOOR_KAFKA_CA_FILE"):
        opened(secured.sasl_ssl, secured.access("sasl_ssl", ca_file=stranger))


def test_a_certificate_of_another_host_is_refused(secured: Secured) -> None:
    by_name = secured.sasl_ssl.replace("127.0.0.1", "localhost")
    with pytest.raises(LogRefused, match=r"(?i)hostname mismatch.*names the host as written here"):
        opened(by_name, secured.access("sasl_ssl"))


def test_who_speaks_in_the_clear_to_a_tls_door_is_told_so(secured: Secured) -> None:
    with pytest.raises(LogUnavailable, match=r"expects plaintext there .SHOPFLOOR_KAFKA_SECURITY"):
        opened(secured.sasl_ssl, {}, bootstrap_s=2.0)


def test_tls_spoken_to_a_door_without_is_told_so(secured: Secured) -> None:
    with pytest.raises(LogRefused, match="whether TLS is on at that port"):
        opened(secured.sasl_plaintext, secured.access("ssl"))


def test_files_that_are_wrong_are_named(secured: Secured, tmp_path: Path) -> None:
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.touch()
    certificate, _ = secured.authority.sign("one", "127.0.0.1")
    _, key = secured.authority.sign("two", "127.0.0.1")
    for wrong, words in (
        ({"password_file": missing}, f"PASSWORD_FILE: {missing} cannot be read"),
        ({"password_file": empty}, f"PASSWORD_FILE: {empty} is empty"),
        ({"ca_file": missing}, f"CA_FILE: {missing} is no file"),
        ({"ca_file": empty}, f"CA_FILE: {empty} is no file"),
        ({"cert_file": certificate, "key_file": key}, f"KEY_FILE {key} are no PEM certificate with its key"),
    ):
        with pytest.raises(SettingError, match=words):
            opened(secured.sasl_ssl, secured.access("sasl_ssl", **wrong))


def test_a_process_that_is_handed_the_settings_reaches_the_cluster(secured: Secured, tmp_path: Path) -> None:
    variables = {**os.environ, **secured.access("sasl_ssl"), "SHOPFLOOR_LOG": f"kafka://{secured.sasl_ssl}"}
    given = to_environment(settings_from({"home": tmp_path}, variables))
    assert PASSWORD not in str(given)
    log = open_log(from_environment(given))
    try:
        assert "shop.orders" in log.topics()
    finally:
        log.close()
