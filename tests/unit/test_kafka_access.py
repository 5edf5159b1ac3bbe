"""How a Kafka cluster is reached, from variables: what contradicts itself is refused with the variable's name."""

import pytest

from shop_stack.errors import SettingError
from shop_stack.kafka_access import IN_THE_CLEAR, PREFIX, KafkaAccess, kafka_access

pytestmark = pytest.mark.pure
SASL = {"SECURITY": "sasl_ssl", "SASL_MECHANISM": "plain", "USERNAME": "shop", "PASSWORD_FILE": "/run/password"}


def said(**variables: str) -> KafkaAccess:
    return kafka_access({PREFIX + name: value for name, value in variables.items()})


def test_without_variables_it_is_in_the_clear() -> None:
    assert said() == IN_THE_CLEAR
    assert not IN_THE_CLEAR.tls
    assert not IN_THE_CLEAR.sasl


def test_everything_said_is_kept_and_described_without_the_password() -> None:
    access = said(**SASL, CA_FILE="/run/ca.pem", CERT_FILE="/run/cert.pem", KEY_FILE="/run/key.pem")
    assert access == KafkaAccess(
        security="sasl_ssl", sasl_mechanism="PLAIN", username="shop", password_file="/run/password",
        ca_file="/run/ca.pem", cert_file="/run/cert.pem", key_file="/run/key.pem",
    )  # fmt: skip
    assert access.described() == "sasl_ssl, PLAIN as shop"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SECURITY": "tls"}, "SHOPFLOOR_KAFKA_SECURITY: 'tls' is not one of: plaintext, ssl"),
        ({**SASL, "SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM: 'GSSAPI' is not one of: PLAIN"),
        ({**SASL, "USERNAME": ""}, "SHOPFLOOR_KAFKA_USERNAME is not set"),
        ({**SASL, "PASSWORD_FILE": ""}, "SHOPFLOOR_KAFKA_PASSWORD_FILE is not set"),
        ({**SASL, "SASL_MECHANISM": ""}, "SHOPFLOOR_KAFKA_SASL_MECHANISM is not set"),
        ({"USERNAME": "shop"}, "SHOPFLOOR_KAFKA_USERNAME is set and SHOPFLOOR_KAFKA_SECURITY plaintext"),
        ({**SASL, "SECURITY": "sasl_plaintext", "CA_FILE": "ca.pem"}, "SHOPFLOOR_KAFKA_CA_FILE is set"),
        ({"SECURITY": "ssl", "CERT_FILE": "cert.pem"}, "CERT_FILE and SHOPFLOOR_KAFKA_KEY_FILE go together"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        said(**variables)
