"""What the Compose runtime makes of what the Engine says: copies of replicas, log lines, figures, shares of secrets."""

import pytest

from shop_stack.errors import NotRunning, SettingError
from shop_stack.runtime.compose.copying import copy_of
from shop_stack.runtime.compose.docker import Usage, read_answer, unframed, usage_of
from shop_stack.runtime.compose.preparing import shares_of
from shop_stack.settings import from_environment
from shop_stack.stack import read_stack
from tests.image_lock import ROOT, image_lock

pytestmark = pytest.mark.pure

FIRST = {
    "Id": "0123456789abcdef",
    "Name": "/shopfloor-orders-1",
    "Config": {
        "Hostname": "0123456789ab",
        "Image": "shopfloor:0.1.0",
        "Env": ["SHOPFLOOR_BIND=0.0.0.0"],
        "Labels": {
            "com.docker.compose.project": "shopfloor",
            "com.docker.compose.service": "orders",
            "com.docker.compose.container-number": "1",
            "com.docker.compose.config-hash": "h",
            "com.docker.compose.replace": "old",
        },
    },
    "HostConfig": {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "Binds": ["home:/var/lib/shopfloor:ro"],
        "PortBindings": {"8000/tcp": [{"HostPort": "8000"}]},
        "NetworkMode": "shopfloor_inside",
    },
    "Mounts": [{"Type": "volume", "Name": "home", "Source": "/x", "Destination": "/var/lib/shopfloor", "RW": False}],
    "NetworkSettings": {
        "Networks": {
            "shopfloor_inside": {
                "Aliases": ["shopfloor-orders-1", "orders", "0123456789ab"],
                "IPAddress": "172.18.0.7",
                "MacAddress": "02:42:ac:12:00:07",
            }
        }
    },
}


def test_a_copy_is_compose_s_own_under_the_next_number() -> None:
    name, body = copy_of(FIRST, 3)
    assert name == "shopfloor-orders-3"
    assert body["Labels"]["com.docker.compose.container-number"] == "3"
    assert body["Labels"]["com.docker.compose.config-hash"] == "h"
    assert "com.docker.compose.replace" not in body["Labels"]
    assert "Hostname" not in body
    assert body["Env"] == FIRST["Config"]["Env"]  # type: ignore[index]


def test_a_copy_is_as_locked_in_as_the_first_and_publishes_nothing() -> None:
    _, body = copy_of(FIRST, 2)
    assert body["HostConfig"]["ReadonlyRootfs"]
    assert body["HostConfig"]["CapDrop"] == ["ALL"]
    assert body["HostConfig"]["PortBindings"] == {}
    assert body["HostConfig"]["Mounts"] == [
        {"Type": "volume", "Target": "/var/lib/shopfloor", "ReadOnly": True, "Source": "home"}
    ]
    assert body["NetworkingConfig"]["EndpointsConfig"] == {"shopfloor_inside": {"Aliases": ["orders"]}}


def test_the_first_is_left_as_it_was() -> None:
    copy_of(FIRST, 2)
    assert FIRST["Config"]["Labels"]["com.docker.compose.container-number"] == "1"  # type: ignore[index]


@pytest.mark.parametrize("cut", [0, 3])
def test_a_log_s_frames_become_lines_and_half_a_frame_tells_what_it_holds(cut: int) -> None:
    frames = b"".join(
        bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text
        for stream, text in ((1, b"one\ntw"), (2, b"o\n"), (1, b"thr\xffee\n"))
    )
    lines = unframed(frames[: len(frames) - cut])
    assert lines[:2] == ["one", "two"]
    assert lines[2].startswith("thr�")


def test_usage_is_told_for_both_kinds_of_cgroup() -> None:
    cpu = {"cpu_usage": {"total_usage": 2_500_000_000}}
    first = {"cpu_stats": cpu, "memory_stats": {"usage": 100, "stats": {"total_inactive_file": 30}},
             "read": "1970-01-01T00:00:09.250000001Z"}  # fmt: skip
    second = {"cpu_stats": cpu, "memory_stats": {"usage": 100, "stats": {"inactive_file": 40}}}
    assert usage_of(first) == Usage(2.5, 70, 9.25)
    assert usage_of(second) == Usage(2.5, 60)
    assert usage_of({}) == Usage()


@pytest.mark.parametrize("content", [b"", b'{"cpu_stats": {', b"null", b"[]"])
def test_half_an_answer_is_an_engine_that_does_not_answer(content: bytes) -> None:
    with pytest.raises(NotRunning, match="cannot be read"):
        read_answer(content, dict[str, object])


def test_a_container_gets_its_own_secrets_alone() -> None:
    shares = shares_of(read_stack())
    assert shares["storefront"] == ("storefront",)
    assert set(shares["customers"]) == {"customers", "shoppers.pem", "people.key"}
    assert shares["dashboard"] == ("viewer.token",)
    assert set(shares["operations"]) == {"viewer.token", "auditor"}
    for container, files in shares.items():
        assert "operators.pem" not in files
        assert ("operator.token" in files) == (container in ("console", "past"))


def test_a_container_s_variables_name_every_place() -> None:
    found = from_environment(
        {
            "SHOPFLOOR_PLACES": "gateway=gateway:8080, mesh=gateway:8085",
            "SHOPFLOOR_BIND": "0.0.0.0",
            "SHOPFLOOR_DEMO": "0",
        }
    )
    assert found.place("mesh") == ("gateway", 8085)
    assert found.inside == "0.0.0.0"
    assert not found.demo


@pytest.mark.parametrize("places", ["gateway", "gateway=8080", "=gateway:1", "mesh=gateway:x"])
def test_a_place_that_is_none_is_named(places: str) -> None:
    with pytest.raises(SettingError, match="PART=HOST:PORT"):
        from_environment({"SHOPFLOOR_PLACES": places})


def test_the_image_s_lock_is_made_from_the_lock() -> None:
    assert (ROOT / "requirements.image.lock").read_text() == image_lock()
