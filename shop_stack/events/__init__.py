"""Every event contract of the shop and its operations, by name and by CloudEvents type.

An event is a few fields in the past tense; a request to another service is named as one. Amounts are minor
units of the stack's currency (`_minor`), times are UTC, ids carry no personal data. Within a version only
optional fields may be added; a breaking change is a new class with a new version in its `type`.
"""

from shop_stack.events.behaviour import *  # noqa: F403
from shop_stack.events.dead_letters import *  # noqa: F403
from shop_stack.events.operations import *  # noqa: F403
from shop_stack.events.shop import *  # noqa: F403
from shop_stack.events.topics import *  # noqa: F403
from shop_stack.events.topics import TOPICS as TOPICS
from shop_stack.events.topics import Event as Event

CONTRACTS: dict[str, type[Event]] = {contract.type: contract for contract in Event.__subclasses__()}
