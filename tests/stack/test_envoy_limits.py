"""Limits by address, with the real Envoy: one address is held back, its neighbours are not."""

from dataclasses import replace
from pathlib import Path

import pytest

from shop_stack.mesh.policy import policy_of
from shop_stack.stack import Limits, read_stack
from tests import needs
from tests.stack.gateway_bench import Upstream, gateway

pytestmark = pytest.mark.real


def test_each_address_has_its_own_limit(tmp_path: Path) -> None:
    needs.envoy()
    policy = replace(policy_of(read_stack()), limits=Limits(requests_per_minute_per_address=60))
    upstream = Upstream("catalog").start()
    with gateway(tmp_path, policy) as edge:
        edge.serve("catalog", upstream.port)
        many = [edge.get("/v1/products", None, "trial", x_forwarded_for=f"198.51.100.{n}") for n in range(100)]
        assert {answer.status_code for answer in many} == {200}, "a hundred shoppers, an address each"
        one = [edge.get("/v1/products", None, "trial", x_forwarded_for="198.51.100.250") for _ in range(80)]
        assert 10 <= sum(answer.status_code == 429 for answer in one) <= 20
        forged = [edge.get("/v1/products", None, x_forwarded_for=f"198.51.100.{n}") for n in range(80)]
        assert 10 <= sum(answer.status_code == 429 for answer in forged) <= 20, "a forged address buys nothing"
    upstream.stop()
