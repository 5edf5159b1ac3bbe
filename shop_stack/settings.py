"""Every setting of a running stack, and where things lie in its home folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import msgspec
import platformdirs

from shop_stack.errors import NotRunning, SettingError
from shop_stack.kafka_access import IN_THE_CLEAR, KafkaAccess, kafka_access

TopologyName = Literal["microservices", "hybrid", "monolith"]
SQLITE = "sqlite:"
POSTGRESQL = "postgresql://"
TOPOLOGIES: tuple[TopologyName, ...] = ("microservices", "hybrid", "monolith")
LOOPBACK = "127.0.0.1"

Place = tuple[str, int]
"""Where something answers: host and port."""


@dataclass(frozen=True)
class Home:
    """The home folder of one stack: all its state, and the names of the files in it.

    `secrets`, when given, is a folder that holds only what this process may know: private keys, tokens, passwords.
    `sockets`, when given, is where the runtime's socket lies. Both are apart where processes do not trust each other.
    """

    path: Path
    secrets: Path | None = None
    sockets: Path | None = None

    @property
    def endpoints(self) -> Path:
        """Where the running parts answer (see Endpoints); replaced by rename, absent when stopped."""
        return self.path / "endpoints.json"

    @property
    def supervisor_socket(self) -> Path:
        return (self.sockets or self.path) / "supervisor.sock"

    @property
    def supervisor_lock(self) -> Path:
        return self.path / "supervisor.lock"

    @property
    def log(self) -> Path:
        """The embedded event log's folder."""
        return self.path / "log"

    def store(self, service: str) -> Path:
        """A service's SQLite database."""
        return self.path / "stores" / f"{service}.db"

    @property
    def operations_store(self) -> Path:
        return self.path / "operations.db"

    @property
    def provider_ledger(self) -> Path:
        return self.path / "provider" / "ledger.db"

    @property
    def warehouse(self) -> Path:
        return self.path / "analytics" / "warehouse.duckdb"

    @property
    def mesh(self) -> Path:
        """Envoy's files: bootstrap, listeners, clusters, endpoints, access log, admin socket."""
        return self.path / "mesh"

    @property
    def keys(self) -> Path:
        """Each issuer's public keys; its private one too, unless secrets lie apart."""
        return self.path / "keys"

    @property
    def private_keys(self) -> Path:
        return self.secrets or self.keys

    @property
    def people_key(self) -> Path:
        """The key under which customers wraps each person's own; without it nobody's data can be read."""
        return self.private_keys / "people.key"

    @property
    def replica_logs(self) -> Path:
        return self.path / "logs"

    def token(self, role: str) -> Path:
        """The token file of a role (`operator`, `viewer`, `admin`), mode 0600."""
        return (self.secrets or self.path) / f"{role}.token"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of a running stack (`http://127.0.0.1:PORT`); None: that part is not started."""

    gateway: str
    trial: str
    mesh: str
    operations: str
    analytics: str
    provider: str
    dashboard: str | None = None


def read_endpoints(home: Home) -> Endpoints:
    """The addresses of the stack that runs on this home. Raises NotRunning when there are none."""
    try:
        return msgspec.json.decode(home.endpoints.read_bytes(), type=Endpoints)
    except FileNotFoundError:
        raise NotRunning(f"nothing runs on {home.path}; start it with: shopfloor up --home {home.path}") from None
    except msgspec.MsgspecError as error:
        raise NotRunning(f"{home.endpoints} is unreadable ({error}); run: shopfloor up --home {home.path}") from error


def home_at(path: Path, environment: Mapping[str, str] = os.environ) -> Home:
    """A home folder, with secrets and sockets where SHOPFLOOR_SECRETS and SHOPFLOOR_SOCKETS put them."""
    secrets, sockets = environment.get("SHOPFLOOR_SECRETS"), environment.get("SHOPFLOOR_SOCKETS")
    return Home(path, Path(secrets) if secrets else None, Path(sockets) if sockets else None)


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """`SHOPFLOOR_HOME`, else the platform's user data folder."""
    named = environment.get("SHOPFLOOR_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("shopfloor"))


@dataclass(frozen=True)
class Settings:
    """How one stack runs. Picklable: the supervisor hands it to every process.

    `stores_url` is `sqlite:` (files in the home) or `postgresql://HOST:PORT`, with a password file for each service in
    the folder `store_secrets`.

    `log_url` is `embedded:` or `kafka://HOST:PORT[,HOST:PORT...]`, reached as `kafka` says; `ports` maps a part
    (`gateway`, `trial`, `mesh`, `operations`, `analytics`, `provider`, `dashboard`) to its preferred port, 0 for
    any; `hosts` names the machine or container of a part that does not answer on loopback.
    """

    home: Home
    log_url: str = "embedded:"
    topology: TopologyName = "microservices"
    stack_file: Path | None = None
    bind: str = "127.0.0.1"
    delivery_seconds: float | None = None
    demo: bool = False
    dashboard: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    stores_url: str = SQLITE
    store_secrets: Path | None = None
    kafka: KafkaAccess = IN_THE_CLEAR

    @property
    def inside(self) -> str:
        """Where a part that only other parts ask shall listen: loopback, or any address of its own container."""
        return self.bind if self.hosts else LOOPBACK

    def place(self, part: str) -> Place:
        """Where a part answers. Raises SettingError for one without a port."""
        if part not in self.ports:
            raise SettingError(f"this stack has no address of {part!r}")
        return self.hosts.get(part, LOOPBACK), self.ports[part]

    def __post_init__(self) -> None:
        if self.topology not in TOPOLOGIES:
            raise SettingError(f"topology {self.topology!r} is not one of: {', '.join(TOPOLOGIES)}")
        if self.log_url != "embedded:" and not self.log_url.startswith("kafka://"):
            raise SettingError(f"log {self.log_url!r} is neither `embedded:` nor `kafka://HOST:PORT`")
        if self.stores_url != SQLITE and not self.stores_url.startswith(POSTGRESQL):
            raise SettingError("SHOPFLOOR_STORES is neither `sqlite:` nor `postgresql://HOST:PORT`")


def settings_from(arguments: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from a command's arguments, then SHOPFLOOR_* variables, then defaults. Raises SettingError."""

    def read(key: str, fallback: str) -> str:
        given = arguments.get(key)
        return str(given) if given is not None else environment.get(f"SHOPFLOOR_{key.upper()}", fallback)

    home = arguments.get("home")
    stack_file = read("stack", "")
    delivery = read("delivery_seconds", "")
    secrets = read("store_secrets", "")
    return Settings(
        home=home_at((Path(str(home)).expanduser() if home else default_home(environment)).resolve(), environment),
        log_url=read("log", "embedded:"),
        topology=cast(TopologyName, read("topology", "microservices")),
        stack_file=Path(stack_file) if stack_file else None,
        bind=read("bind", "127.0.0.1"),
        delivery_seconds=_positive("delivery_seconds", delivery) if delivery else None,
        demo=bool(arguments.get("demo")),
        dashboard=bool(arguments.get("dashboard")),
        stores_url=read("stores", SQLITE),
        store_secrets=Path(secrets).expanduser().resolve() if secrets else None,
        kafka=kafka_access(environment),
    )


def _positive(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise SettingError(f"{key}: {text!r} is not a number of seconds") from None
    if value <= 0:
        raise SettingError(f"{key}: {text} must be more than 0 seconds")
    return value


def to_environment(settings: Settings) -> dict[str, str]:
    """The settings as one variable, for a process that the supervisor starts as `python -m NAME`."""
    return {"SHOPFLOOR_SETTINGS": msgspec.json.encode(_Portable.of(settings)).decode()}


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the supervisor handed over, or a container's own variables with SHOPFLOOR_PLACES among them.

    Raises SettingError when there are neither.
    """
    text = environment.get("SHOPFLOOR_SETTINGS")
    if not text and environment.get("SHOPFLOOR_PLACES"):
        return _in_container(environment)
    if not text:
        raise SettingError("SHOPFLOOR_SETTINGS is not set: this process is started by `shopfloor up`")
    return msgspec.json.decode(text, type=_Portable).settings()


def _in_container(environment: Mapping[str, str]) -> Settings:
    """SHOPFLOOR_PLACES names each part's host and port: `gateway=gateway:8080,mesh=gateway:8085,...`."""
    hosts, ports = {}, {}
    for word in environment["SHOPFLOOR_PLACES"].split(","):
        part, _, place = word.strip().partition("=")
        host, _, port = place.rpartition(":")
        if not part or not host or not port.isdigit():
            raise SettingError(f"SHOPFLOOR_PLACES: {word!r} is not PART=HOST:PORT")
        hosts[part], ports[part] = host, int(port)
    demo = environment.get("SHOPFLOOR_DEMO", "1") not in ("", "0")
    return replace(
        settings_from({"demo": demo, "dashboard": "dashboard" in ports}, environment), hosts=hosts, ports=ports
    )


class _Portable(msgspec.Struct):
    home: str
    log_url: str
    topology: TopologyName
    stack_file: str | None
    bind: str
    delivery_seconds: float | None
    demo: bool
    dashboard: bool
    ports: dict[str, int]
    hosts: dict[str, str] = {}
    secrets: str | None = None
    sockets: str | None = None
    stores_url: str = SQLITE
    store_secrets: str | None = None
    kafka: KafkaAccess = IN_THE_CLEAR

    @classmethod
    def of(cls, s: Settings) -> "_Portable":
        paths = (s.stack_file, s.home.secrets, s.home.sockets, s.store_secrets)
        stack_file, secrets, sockets, store_secrets = map(_words, paths)
        return cls(str(s.home.path), s.log_url, s.topology, stack_file, s.bind, s.delivery_seconds, s.demo, s.dashboard,
                   dict(s.ports), dict(s.hosts), secrets, sockets, s.stores_url, store_secrets, s.kafka)  # fmt: skip

    def settings(self) -> Settings:
        return Settings(
            home=Home(Path(self.home), _path(self.secrets), _path(self.sockets)),
            log_url=self.log_url,
            topology=self.topology,
            stack_file=_path(self.stack_file),
            bind=self.bind,
            delivery_seconds=self.delivery_seconds,
            demo=self.demo,
            dashboard=self.dashboard,
            ports=self.ports,
            hosts=self.hosts,
            stores_url=self.stores_url,
            store_secrets=_path(self.store_secrets),
            kafka=self.kafka,
        )


def _words(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def _path(words: str | None) -> Path | None:
    return Path(words) if words else None
