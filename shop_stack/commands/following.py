"""Follows an action that a command has begun until it is where the command wants it."""

import time

from shop_stack.errors import ShopfloorError
from shop_stack.operations.client import OperationsClient
from shop_stack.operations.model import ActionView

_LOOK_S = 0.1


def follow(operations: OperationsClient, action_id: str, states: tuple[str, ...], patience_s: float) -> ActionView:
    """The action once its state is one of these. Raises ShopfloorError after `patience_s`; it goes on all the same."""
    deadline = time.monotonic() + patience_s
    while True:
        action = operations.action(action_id)
        if action.state in states:
            return action
        if time.monotonic() > deadline:
            raise ShopfloorError(f"action {action_id} is still {action.state} after {patience_s:g} s; see the console")
        time.sleep(_LOOK_S)
