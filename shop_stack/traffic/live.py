"""The demo's live shoppers: sessions around the clock with the shape of the day, the shop found in full swing."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from shop_stack.errors import NotRunning
from shop_stack.hosting.drill import read_drill
from shop_stack.settings import Settings, read_endpoints
from shop_stack.stack import Stack
from shop_stack.traffic.arrivals import next_arrival
from shop_stack.traffic.shelf import Shelf, read_shelf
from shop_stack.traffic.shop_client import RequestFailed, ShopClient, Shopper, Tally
from shop_stack.traffic.shopper import Session, an_address
from shop_stack.traffic.walk import calibrated

RETURNING_SHARE = 0.3
_FOUND_PER_SESSION_RATE = 2.0
_LEAST_FOUND = 8
_REGISTERED_AMONG_FOUND = 4
_KNOWN = 5000
_TOKEN_LIFE = timedelta(hours=11)
_SWING = timedelta(minutes=10)
_MOST_AT_ONCE = 4000
_log = logging.getLogger("shoppers")


class LiveShoppers:
    """Keeps sessions arriving at the stack's rate times the drill's factor until cancelled.

    Begins as if it had always run: with the sessions of the last ten minutes under way, their shoppers known to the
    shop, and with customers who come back. `now` is the clock of arrivals; `client` is for tests.
    """

    def __init__(
        self,
        settings: Settings,
        stack: Stack,
        seed: int,
        client: ShopClient | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._random = np.random.default_rng(seed)
        self._known: deque[tuple[datetime, Shopper]] = deque(maxlen=_KNOWN)
        self._in_advance: list[Shopper] = []
        self._client = client
        self._now = now

    async def run(self) -> None:
        """Shop until cancelled; waits for the catalog first."""
        client = self._client or ShopClient(read_endpoints(self._settings.home).trial, Tally())
        shelf = await self._shelf(client)
        await self._meet(client)
        async with asyncio.TaskGroup() as sessions:
            self._find_in_full_swing(sessions, client, shelf)
            at = self._now()
            running: set[asyncio.Task[None]] = set()
            while True:
                rate = self._stack.traffic.sessions_per_s * read_drill(self._settings.home).shoppers
                horizon = self._now() + timedelta(seconds=1)
                at = max(at, self._now() - timedelta(seconds=1))
                while (due := next_arrival(rate, at, self._stack.zone, self._random)) < horizon:
                    at = due
                    if len(running) < _MOST_AT_ONCE:
                        task = sessions.create_task(self._arrive(client, shelf, due))
                        running.add(task)
                        task.add_done_callback(running.discard)
                at = horizon
                await asyncio.sleep(1.0)

    async def _shelf(self, client: ShopClient) -> Shelf:
        while True:
            try:
                return await read_shelf(client, an_address(self._random))
            except NotRunning as error:
                _log.info("waiting: %s", error)
                await asyncio.sleep(2.0)

    async def _meet(self, client: ShopClient) -> None:
        """Sign in the few shoppers in whose name the sessions under way go on, and who may come back.

        They are sign-ups that later newcomers need not make, so that customers sees no more of them than usual.
        """
        wanted = max(_LEAST_FOUND, math.ceil(_FOUND_PER_SESSION_RATE * self._stack.traffic.sessions_per_s))
        for number in range(wanted):
            try:
                shopper = await client.guest(an_address(self._random))
                if number % _REGISTERED_AMONG_FOUND == 0:
                    shopper = await register(client, shopper, self._random)
            except RequestFailed:
                continue
            self._in_advance.append(shopper)
            self._known.append((self._now(), shopper))

    def _find_in_full_swing(self, sessions: asyncio.TaskGroup, client: ShopClient, shelf: Shelf) -> None:
        now = self._now()
        at = now - _SWING
        rate = self._stack.traffic.sessions_per_s
        while (at := next_arrival(rate, at, self._stack.zone, self._random)) < now:
            sessions.create_task(self._under_way(client, shelf, (now - at).total_seconds()))

    async def _under_way(self, client: ShopClient, shelf: Shelf, skip_s: float) -> None:
        random = self._own_random()
        known = self._someone_known(random)
        await Session(client, shelf, calibrated(), random, an_address(random), known, 1.0, skip_s).run()

    async def _arrive(self, client: ShopClient, shelf: Shelf, due: datetime) -> None:
        random = self._own_random()
        await asyncio.sleep(max(0.0, (due - self._now()).total_seconds()))
        returning = self._someone_known(random) if random.random() < RETURNING_SHARE else None
        known = returning or (self._in_advance.pop() if self._in_advance else None)
        session = Session(client, shelf, calibrated(), random, an_address(random), known)
        await session.run()
        if session.shopper is not None and known is None:
            await self._remember(client, session.shopper, random, bought=session.order is not None)

    def _own_random(self) -> np.random.Generator:
        return np.random.default_rng(self._random.integers(2**63))

    def _someone_known(self, random: np.random.Generator) -> Shopper | None:
        if not self._known:
            return None
        since, shopper = self._known[int(random.integers(len(self._known)))]
        return shopper if self._now() - since < _TOKEN_LIFE else None

    async def _remember(self, client: ShopClient, shopper: Shopper, random: np.random.Generator, bought: bool) -> None:
        if bought:
            try:
                shopper = await register(client, shopper, random)
            except RequestFailed:
                return
        self._known.append((self._now(), shopper))


async def register(client: ShopClient, guest: Shopper, random: np.random.Generator) -> Shopper:
    """Open an account with made-up details; the customer's session. Raises RequestFailed."""
    number = int(random.integers(2**40))
    body = {
        "email": f"shopper-{number:x}@example.com",
        "password": f"made-up-{number:x}",
        "name": f"Made-up shopper {number:x}",
        "address": f"{number % 200 + 1} Example Street",
        "country": "GB",
    }
    answer = await client.post(guest, "/v1/customers", body)
    return Shopper(guest.address, answer["token"], answer["customer_id"])
