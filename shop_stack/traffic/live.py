"""The demo's live shoppers: sessions around the clock with the shape of the day, the shop found in full swing."""

import asyncio
import logging
from collections import deque
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
_KNOWN = 5000
_TOKEN_LIFE = timedelta(hours=11)
_SWING = timedelta(minutes=10)
_MOST_AT_ONCE = 4000
_log = logging.getLogger("shoppers")


class LiveShoppers:
    """Keeps sessions arriving at the stack's rate times the drill's factor until cancelled."""

    def __init__(self, settings: Settings, stack: Stack, seed: int) -> None:
        self._settings = settings
        self._stack = stack
        self._random = np.random.default_rng(seed)
        self._known: deque[tuple[datetime, Shopper]] = deque(maxlen=_KNOWN)
        self._tally = Tally()

    async def run(self) -> None:
        """Shop until cancelled; waits for the catalog first."""
        client = ShopClient(read_endpoints(self._settings.home).trial, self._tally)
        shelf = await self._shelf(client)
        async with asyncio.TaskGroup() as sessions:
            self._find_in_full_swing(sessions, client, shelf)
            at = datetime.now(UTC)
            factor = 1.0
            running: set[asyncio.Task[None]] = set()
            while True:
                factor = read_drill(self._settings.home).shoppers
                rate = self._stack.traffic.sessions_per_s * factor
                horizon = datetime.now(UTC) + timedelta(seconds=1)
                at = max(at, datetime.now(UTC) - timedelta(seconds=1))
                while (due := next_arrival(rate, at, self._stack.zone, self._random)) < horizon:
                    at = due
                    if len(running) < _MOST_AT_ONCE:
                        task = sessions.create_task(self._session(client, shelf, due, 0.0))
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

    def _find_in_full_swing(self, sessions: asyncio.TaskGroup, client: ShopClient, shelf: Shelf) -> None:
        now = datetime.now(UTC)
        at = now - _SWING
        rate = self._stack.traffic.sessions_per_s
        while (at := next_arrival(rate, at, self._stack.zone, self._random)) < now:
            sessions.create_task(self._session(client, shelf, now, (now - at).total_seconds()))

    async def _session(self, client: ShopClient, shelf: Shelf, due: datetime, skip_s: float) -> None:
        random = np.random.default_rng(self._random.integers(2**63))
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        session = Session(client, shelf, calibrated(), random, an_address(random), self._returning(random), 1.0, skip_s)
        await session.run()
        if session.shopper is not None and session.known is None:
            await self._remember(client, session.shopper, random, bought=session.order is not None)

    def _returning(self, random: np.random.Generator) -> Shopper | None:
        if not self._known or random.random() >= RETURNING_SHARE:
            return None
        since, shopper = self._known[int(random.integers(len(self._known)))]
        return shopper if datetime.now(UTC) - since < _TOKEN_LIFE else None

    async def _remember(self, client: ShopClient, shopper: Shopper, random: np.random.Generator, bought: bool) -> None:
        if bought:
            try:
                shopper = await register(client, shopper, random)
            except RequestFailed:
                return
        self._known.append((datetime.now(UTC), shopper))


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
