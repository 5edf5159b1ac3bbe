"""The stack on a cluster outside, by TLS and SASL/PLAIN: `python -m tests.soak.compose_cluster`.

The broker runs on this machine and lets containers in by TLS with a name and a password alone. Prints JSON: what is
said of a wrong password, seconds until all is healthy, what shoppers saw while payments were scaled to two, the audit.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests import needs
from tests.brokers import free_ports, running_broker
from tests.certificates import Authority
from tests.compose.project import UP_S, Project, from_nothing, inspected
from tests.compose.stand import ComposeStand
from tests.soak.compose_brokers import books, placed, seen_by_shoppers

PASSWORD = "an outside secret"
USERS = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_shop="{PASSWORD}";'
CONTAINERS = "/run/kafka"


@contextmanager
def cluster(folder: Path, address: str) -> Iterator[Mapping[str, str]]:
    """A broker at the address that containers reach; the environment with which Compose is sent there."""
    files = folder / "files"
    files.mkdir(parents=True)
    authority = Authority(folder, "authority")
    certificate, key = authority.sign("broker", address)
    (folder / "keystore.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    (files / "ca.pem").write_bytes(authority.certificate.read_bytes())
    (files / "password").write_text(PASSWORD)
    for path in (folder, files, *files.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    place = f"{address}:{free_ports(1)[0]}"
    settings: dict[str, object] = {
        "listeners": f"OUTSIDE://{place}",
        "advertised.listeners": f"OUTSIDE://{place}",
        "listener.security.protocol.map": "OUTSIDE:SASL_SSL",
        "listener.name.outside.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.outside.plain.sasl.jaas.config": USERS,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "keystore.pem",
    }
    with running_broker(folder / "broker", needs.kafka(), settings):
        yield {
            "COMPOSE_FILE": "compose.yaml:compose.cluster.yaml",
            "KAFKA_FILES": str(files),
            "SHOPFLOOR_LOG": f"kafka://{place}",
            "SHOPFLOOR_KAFKA_SECURITY": "sasl_ssl",
            "SHOPFLOOR_KAFKA_SASL_MECHANISM": "PLAIN",
            "SHOPFLOOR_KAFKA_USERNAME": "shop",
            "SHOPFLOOR_KAFKA_PASSWORD_FILE": f"{CONTAINERS}/password",
            "SHOPFLOOR_KAFKA_CA_FILE": f"{CONTAINERS}/ca.pem",
        }


def refused(project: Project, password: Path) -> str:
    """The last words of `engines` when the password is wrong; the right one is put back."""
    password.write_text("wrong")
    project.compose("run", "--rm", "-T", "prepare")
    project.compose("up", "-d", "--wait", "postgres")
    said = project.compose("run", "--rm", "-T", "--no-deps", "engines", check=False, timeout_s=200)
    password.write_text(PASSWORD)
    return said.strip().splitlines()[-1]


def main() -> None:
    """Start the broker and the shop, sell, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=3.0, help="orders a second")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--address", default="172.17.0.1", help="of this machine, as containers reach it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept, cluster(Path(kept) / "cluster", chosen.address) as told:
        Path(kept).chmod(0o755)
        os.environ.update(told)
        with from_nothing() as project:
            said: dict[str, object] = {"wrong_password": refused(project, Path(told["KAFKA_FILES"]) / "password")}
            begun = time.monotonic()
            project.compose("up", "-d", "--wait", timeout_s=UP_S)
            said["start_s"] = round(time.monotonic() - begun, 1)
            said["brokers_in_the_box"] = len(project.compose("ps", "-a", "-q", "kafka", check=False).split())
            project.compose("stop", "shoppers")
            before = placed(project)
            load = project.load(chosen.rate, chosen.seconds)
            project.shopfloor("scale", "payments", "2", "--reason", "a copy needs the files too", "--force")
            ids = project.compose("ps", "-q", "payments").split()
            said["payments"] = [one["State"]["Health"]["Status"] for one in inspected(ids)]
            report = json.loads(load.communicate(timeout=chosen.seconds + 300)[0])
            said |= seen_by_shoppers(report)
            said["in_the_database"] = placed(project) - before
            (Path(kept) / "stand").mkdir()
            stand = ComposeStand.on(project, Path(kept) / "stand")
            said |= books(stand, 300)
            stand.close()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
