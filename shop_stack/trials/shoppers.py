"""The shoppers of a schedule: they order, ask again with the same key until they hear, and call orders off."""

from functools import partial

import msgspec
from litestar.exceptions import HTTPException

from shop_stack.errors import Conflict, MeshError
from shop_stack.eventlog.delivery import failure_of
from shop_stack.hosting.context import Context
from shop_stack.hosting.service import Answer, KeyReused, StillWorking
from shop_stack.hosting.store import StoreBusy
from shop_stack.services.orders import handlers
from shop_stack.services.orders.handlers import OrderWanted
from shop_stack.trials.plan import OrderPlan
from shop_stack.trials.replica import Replica
from shop_stack.trials.shop import Shop

_ASKS_AGAIN = 400
_LATER = (StoreBusy, StillWorking, MeshError, Conflict)


class Shopper:
    """One shopper with one order. `answers` are those heard; `wrong` says what no shopper should ever see."""

    def __init__(self, shop: Shop, order: OrderPlan) -> None:
        self.order = order
        self.name = f"shopper {order.number}"
        self.order_id: str | None = None
        self.refused: int | None = None
        self.wrong: list[str] = []
        self._shop = shop
        self._world = shop.world
        self._asked = 0
        self._body = msgspec.json.encode({"cart_id": order.cart_id, "expected_total": order.total_minor})

    def begin(self) -> None:
        """Come when planned; impatient ones send their request several times at once."""
        for copy in range(self.order.posts):
            self._world.after(self.order.at_s + 0.004 * copy, self._post)
        if self.order.cancel_after_s is not None:
            self._world.after(self.order.at_s + self.order.cancel_after_s, partial(self._cancel, 0))

    def _post(self) -> None:
        self._asked += 1
        replica = self._served_by("post")
        if replica is not None:
            self._world.tell(self.name, f"orders {self.order.lines} at {replica.name}")
            wanted = OrderWanted(self.order.cart_id, self.order.total_minor)
            answer = replica.act(partial(self._place, replica.context, wanted), request=True)
            fault = self._world.fault("answer", "orders") if answer is not None else None
            if fault is not None:
                self._world.strike(fault, f"its answer to {self.name} is lost")
            elif answer is not None and self._hears(answer):
                return
        if self._asked < _ASKS_AGAIN:
            self._world.after(self._world.jitter(self.name, 0.5, 3.0), self._post)

    def _served_by(self, what: str) -> Replica | None:
        replicas = self._shop.of("orders")
        return self._world.chance(f"{self.name} {what}").choice(replicas) if replicas else None

    def _place(self, context: Context, wanted: OrderWanted) -> Answer:
        answer = Answer(500)

        def place() -> None:
            nonlocal answer
            answer = handlers.place(context, wanted, self._body, self.name, f"key-{self.order.number}")

        error = failure_of(place)
        return answer if error is None else Answer(_status_of(error))

    def _hears(self, answer: Answer) -> bool:
        """Whether that settles it."""
        if answer.status == 202:
            order_id = answer.json()["order_id"]
            if self.order_id not in (None, order_id):
                self.wrong.append(f"{self.name} was given two orders for one key: {self.order_id}, {order_id}")
            self.order_id = order_id
            self._world.tell(self.name, f"is told that order {self.order.number} is accepted")
            return True
        if answer.status == 503:
            return False
        if answer.status == 500:
            self.wrong.append(f"{self.name} was told of an error within")
            return False
        self.refused = answer.status
        self.wrong.append(f"{self.name} was refused with {answer.status}")
        return True

    def _cancel(self, asked: int) -> None:
        replica = self._served_by("cancel") if self.order_id is not None else None
        done = False
        if replica is not None:
            self._world.tell(self.name, f"calls order {self.order.number} off")
            done = bool(replica.act(partial(self._call_off, replica.context, str(self.order_id)), request=True))
        if not done and asked < _ASKS_AGAIN:
            self._world.after(self._world.jitter(self.name, 0.1, 1.0), partial(self._cancel, asked + 1))

    def _call_off(self, context: Context, order_id: str) -> bool:
        error = failure_of(partial(handlers.cancel, context, order_id, self.name))
        status = _status_of(error) if error is not None else 202
        if status not in (202, 409, 503):
            self.wrong.append(f"{self.name} was refused to call off with {status}: {error}")
        return status != 503


def _status_of(error: Exception) -> int:
    """The HTTP status that the host makes of it."""
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, KeyReused):
        return 422
    return 503 if isinstance(error, _LATER) else 500
