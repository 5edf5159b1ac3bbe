"""The mesh, with the real Envoy: what is sent again, who gets requests, and how replicas come and go."""

import concurrent.futures
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shop_stack.mesh.admin import EnvoyAdmin
from shop_stack.mesh.policy import Upstream as UpstreamPolicy
from shop_stack.mesh.policy import policy_of
from shop_stack.runtime.ports import choose_ports
from shop_stack.stack import read_stack
from tests import needs
from tests.stack.gateway_bench import ANY, Gateway, Upstream, answer_with, gateway, local, until

pytestmark = pytest.mark.real
QUICK = UpstreamPolicy(idle_s=0.4, health_interval_s=0.2, health_idle_interval_s=0.2, consecutive_failures=1000)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    needs.envoy()
    policy = policy_of(read_stack())
    edge = tuple(replace(route, timeout_s=route.timeout_s and 0.5) for route in policy.edge)
    analytics = Upstream("floor", behave=_streams).start()
    floors = {"operations": analytics.port, "analytics": analytics.port}
    with gateway(tmp_path_factory.mktemp("mesh"), replace(policy, upstream=QUICK, edge=edge), floors) as running:
        yield running
    analytics.stop()


@pytest.fixture
def pair() -> Iterator[tuple[Upstream, Upstream]]:
    one, two = Upstream("one").start(), Upstream("two").start()
    yield one, two
    one.stop()
    two.stop()


def _streams(handler: Any) -> bool:
    """Five pieces, one each 300 ms."""
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for _ in range(5):
        handler.wfile.write(b"5\r\ndata\n\r\n")
        handler.wfile.flush()
        threading.Event().wait(0.3)
    handler.wfile.write(b"0\r\n\r\n")
    return True


def test_endpoints_replaced_by_rename_are_used_at_once(mesh: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    mesh.serve("catalog", pair[0].port)
    assert mesh.mesh("catalog", "/v1/products").json()["by"] == "one"
    began = time.monotonic()
    mesh.serve("catalog", pair[1].port)
    assert time.monotonic() - began < 2
    assert {mesh.mesh("catalog", "/v1/products").json()["by"] for _ in range(5)} == {"two"}


def test_a_write_in_place_is_ignored_and_a_bad_file_keeps_the_last_good(
    mesh: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    mesh.serve("catalog", pair[0].port)
    path = mesh.files.endpoint_file("catalog")
    path.write_text(path.read_text().replace(str(pair[0].port), str(pair[1].port)))
    fresh = path.with_suffix(".bad")
    fresh.write_text("{ this is no JSON")
    fresh.rename(path)
    until(lambda: b"cluster.catalog.update_failure: 0" not in mesh.admin.get("/stats?filter=catalog.update_failure"))
    assert mesh.mesh("catalog", "/v1/products").json()["by"] == "one"


def test_reads_are_sent_again_after_a_5xx_and_writes_are_not(mesh: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    pair[0].behave = answer_with(503)
    mesh.serve("orders", pair[0].port, pair[1].port)
    reads = [mesh.mesh("orders", f"/v1/orders/{n}") for n in range(20)]
    assert {answer.status_code for answer in reads} == {200}
    writes = [mesh.mesh("orders", f"/v1/orders?n={n}", "POST") for n in range(20)]
    assert {answer.status_code for answer in writes} == {200, 503}
    posted = [path for one in pair for method, path in one.seen if method == "POST"]
    assert len(posted) == len(set(posted)) == 20, "each write reached one replica once"


def test_a_write_that_no_replica_has_seen_is_sent_to_another(mesh: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    dead = choose_ports(ANY)["provider"]
    policy_free = "payments"
    mesh.endpoints.write([policy_free], [local(pair[0].port), local(dead)])
    until(lambda: any(host.port == pair[0].port and host.serving for host in mesh.hosts(policy_free)))
    answers = [mesh.mesh(policy_free, f"/v1/payments?n={n}", "POST") for n in range(20)]
    assert {answer.status_code for answer in answers} == {200}


def test_a_draining_replica_gets_nothing_new_and_finishes_what_it_has(
    mesh: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    release = threading.Event()

    def wait(handler: Any) -> bool:
        release.wait(5)
        return False

    pair[0].behave = wait
    mesh.serve("shipping", pair[0].port)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(mesh.mesh, "shipping", "/v1/shipments/slow", "POST")
        until(lambda: any(host.active for host in mesh.hosts("shipping")))
        mesh.endpoints.write(["shipping"], [local(pair[0].port, draining=True), local(pair[1].port)])
        until(lambda: {h.port: h.serving for h in mesh.hosts("shipping")} == {pair[0].port: False, pair[1].port: True})
        assert {mesh.mesh("shipping", "/v1/shipments/new").json()["by"] for _ in range(10)} == {"two"}
        assert [host.active for host in mesh.hosts("shipping") if host.draining] == [1]
        release.set()
        assert slow.result(5).json()["by"] == "one"


def test_a_removed_replica_is_forgotten_though_its_health_checks_pass(
    mesh: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    mesh.serve("inventory", pair[0].port, pair[1].port)
    mesh.endpoints.write(["inventory"], [local(pair[1].port)])
    until(lambda: [host.port for host in mesh.hosts("inventory")] == [pair[1].port])
    assert {mesh.mesh("inventory", "/v1/stock").json()["by"] for _ in range(10)} == {"two"}


def test_a_replica_that_says_unready_gets_nothing_even_when_it_is_the_last(
    mesh: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    mesh.serve("customers", pair[0].port)
    pair[0].ready = False
    until(lambda: not any(host.serving for host in mesh.hosts("customers")))
    answer = mesh.mesh("customers", "/v1/me")
    assert answer.status_code == 503
    assert ("GET", "/v1/me") not in pair[0].seen
    pair[0].ready = True
    until(lambda: mesh.mesh("customers", "/v1/me").status_code == 200)


def test_idle_and_burst_meet_no_closing_connection(mesh: Gateway) -> None:
    """The server closes after 0.6 s of idleness and Envoy after 0.4: the same order as 75 s and 30 s."""
    hasty = Upstream("hasty", keep_alive_s=0.6).start()
    mesh.serve("recommendations", hasty.port)
    statuses = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for pause in (0.3, 0.39, 0.41, 0.5, 0.58, 0.6, 0.62, 0.7):
            asked = [pool.submit(mesh.mesh, "recommendations", "/v1/recommendations/p", "POST") for _ in range(24)]
            statuses += [one.result().status_code for one in asked]
            time.sleep(pause)
    assert set(statuses) == {200}
    hasty.stop()


def test_a_stream_of_events_outlives_the_timeout_of_other_routes(mesh: Gateway) -> None:
    token = mesh.token("operators", "viewer")
    streamed = mesh.get("/ops/v1/events?topic=orders", token)
    assert (streamed.status_code, streamed.text) == (200, "data\n" * 5)
    cut = mesh.client.build_request("GET", mesh.url("/ops/v1/services"), headers={"authorization": f"Bearer {token}"})
    with pytest.raises(Exception, match=r"incomplete|closed|peer"):
        mesh.client.send(cut)


def test_latency_is_counted_in_fine_buckets(mesh: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    mesh.serve("storefront", pair[0].port)
    mesh.mesh("storefront", "/v1/pages/search")
    path = "/stats?format=json&histogram_buckets=cumulative&filter=cluster.storefront.upstream_rq_time"
    counted = next(stat for stat in json.loads(mesh.admin.get(path))["stats"] if "histograms" in stat)
    bounds = {bucket["upper_bound"] for bucket in counted["histograms"][0]["buckets"]}
    assert {1, 2, 3, 5, 10, 250} <= bounds


def test_an_unknown_name_in_the_mesh_is_not_found(mesh: Gateway) -> None:
    assert mesh.mesh("nobody", "/v1/products").status_code == 404


def test_envoy_goes_with_the_process_that_started_it_even_by_kill_9(tmp_path: Path) -> None:
    needs.envoy()
    with gateway(tmp_path, policy_of(read_stack())) as running:
        files = running.files
    script = (
        "import subprocess, sys\nfrom pathlib import Path\n"
        "from shop_stack.mesh.envoy import EnvoyFiles\n"
        "from shop_stack.mesh.envoy_process import dies_with_parent, envoy_command\n"
        f"files = EnvoyFiles(Path({str(files.folder)!r}))\n"
        "envoy = subprocess.Popen(envoy_command(files), cwd=files.folder, preexec_fn=dies_with_parent())\n"
        "print(envoy.pid, flush=True)\nenvoy.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    envoy_pid = int(parent.stdout.readline())
    admin = EnvoyAdmin(files.admin_socket)
    until(admin.live)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not admin.live())
    until(lambda: not Path(f"/proc/{envoy_pid}").exists() or "Z" in Path(f"/proc/{envoy_pid}/stat").read_text())
