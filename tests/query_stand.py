"""What the tests of operators' statements share: analytics served to a client, with something in its warehouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from analytics.asked import Limits
from analytics.desk import Desk, watermark_view
from analytics.queries import Queries
from analytics.questions_api import make_app
from shop_stack.access import Verifier, prepare_keys, read_token
from shop_stack.events import OrderCompleted, ProductAdded, ProductViewed
from shop_stack.settings import Home
from tests.analytics_stand import NOW, ZONE, Stand, past_order, placed, stand

PATIENT = Limits(seconds=60.0)  # a busy machine is no failure


@dataclass
class Asked:
    """Analytics with its client, which comes with an operator's token, and its home."""

    stand: Stand
    client: TestClient[Litestar]
    home: Home
    desk: Desk

    def query(self, sql: str, **more: Any) -> Any:
        """The response to a statement."""
        return self.client.post("/analytics/v1/query", json={"sql": sql, **more})

    def answer(self, sql: str, **more: Any) -> dict[str, Any]:
        """The answer to a statement that is good."""
        response = self.query(sql, **more)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def refusal(self, sql: str, **more: Any) -> str:
        """Why a statement is not answered: one sentence on one line."""
        response = self.query(sql, **more)
        assert response.status_code == 422, response.text
        detail = str(response.json()["detail"])
        assert len(detail.splitlines()) == 1
        return detail


@contextmanager
def asked(folder: Path, limits: Limits = PATIENT) -> Iterator[Asked]:
    """Three orders of two days, a product and some browsing, ingested."""
    home = Home(folder / "home")
    prepare_keys(home, datetime.now(UTC))
    with stand(folder) as made:
        made.put(ProductAdded(product_id="p1", name="Lantern", category="c", list_price_minor=500))
        made.put(placed("o1", 500), placed("o2", 700), ProductViewed(session_id="s", product_id="p1"))
        made.put(OrderCompleted(order_id="o1", customer_id="c", lines=[], total_minor=500, seconds=1.0))
        made.put(past_order("p", 300), at=NOW - timedelta(days=1))
        made.put(placed("o3", 900), at=NOW - timedelta(days=1))
        made.catch_up()
        made.now = NOW + timedelta(minutes=1)
        desk = Desk(made.warehouse, lambda: made.ingest.watermark, ZONE, now=lambda: made.now)
        desk.queries = Queries(made.warehouse, lambda: watermark_view(made.ingest.watermark), limits)
        with TestClient(make_app(desk, lambda: Verifier(home, "operators"))) as client:
            client.headers["authorization"] = f"Bearer {read_token(home, 'operator')}"
            yield Asked(made, client, home, desk)
        desk.queries.close()
