"""The books' invariants over operators: each action recorded once, the chain of records whole, replicas as asked."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shop_stack.operations.audit import Invariant, Tally


class ActionRow(NamedTuple):
    """An operator's action; `replicas` is None for a restart. In the order in which they were requested."""

    action_id: str
    kind: str
    group: str
    state: str
    actor: str
    replicas: int | None


class AuditRow(NamedTuple):
    """One record of operations' audit chain (`at`: microseconds since 1970)."""

    number: int
    at: int
    actor: str
    did: str
    previous: str
    hash: str


def actions_recorded_once(actions: Iterable[ActionRow], records: Sequence[AuditRow]) -> Invariant:
    """Every action has one record, by the one who asked for it, and no record tells of an action that is not there."""
    tally = Tally("actions_recorded_once")
    told: dict[str, list[AuditRow]] = {}
    for record in records:
        told.setdefault(record.did.partition(" ")[0], []).append(record)
    for action in actions:
        tally.rows += 1
        found = told.get(action.action_id, [])
        if len(found) != 1:
            tally.difference(action.action_id, f"({action.kind} {action.group}) has {len(found)} audit records")
        elif found[0].actor != action.actor:
            tally.difference(action.action_id, f"was asked by {action.actor} and is recorded of {found[0].actor}")
    return tally.result()


def audit_chain_whole(records: Iterable[AuditRow], published_heads: Iterable[str]) -> Invariant:
    """Each audit record follows from the one before, and each head that was published to the log is in the chain.

    An edit, a deletion or a swap breaks a link; a chain cut short lacks a published head. The hash is SHA-256 over
    previous hash, time, actor and deed, one a line.
    """
    tally = Tally("audit_chain_whole")
    previous, number = "", 0
    known = {""}
    for record in records:
        tally.rows += 1
        linked = "\n".join((record.previous, str(record.at), record.actor, record.did))
        if record.previous != previous or record.number != number + 1:
            tally.difference(f"{record.number}", "does not follow the audit record before it")
        elif record.hash != hashlib.sha256(linked.encode()).hexdigest():
            tally.difference(f"{record.number}", "is not the audit record that was written")
        previous, number = record.hash, record.number
        known.add(record.hash)
    for head in published_heads:
        tally.rows += 1
        if head not in known:
            tally.difference(head, "was published as the head of the audit chain and is not in it")
    return tally.result()


def replicas_as_asked(actions: Iterable[ActionRow], desired: Mapping[str, int]) -> Invariant:
    """The replicas that a group shall have are those of the last scaling that was accepted and done.

    `desired` is what the supervisor keeps, by group; groups of other topologies are left out.
    """
    tally = Tally("replicas_as_asked")
    last: dict[str, ActionRow] = {}
    under_way = set()
    for action in actions:
        if action.kind == "scale" and action.state == "requested":
            under_way.add(action.group)
        elif action.kind == "scale" and action.state != "failed":
            last[action.group] = action
    for group, action in last.items():
        if group not in desired:
            continue
        tally.rows += 1
        if desired[group] != action.replicas:
            words = f"shall have {desired[group]} replicas and was last scaled to {action.replicas}"
            tally.difference(group, f"{words} ({action.action_id})", group not in under_way)
    return tally.result()
