"""Envoy's HTTP filters at the edge, in the order a request meets them."""

from collections.abc import Mapping
from typing import Any

from shop_stack.access import AUDIENCES, ISSUERS, Issuer, issuer_name
from shop_stack.stack import Limits

Json = dict[str, Any]
SUBJECT_HEADER = "x-subject"
ROLE_HEADER = "x-role"
JWT = "envoy.filters.http.jwt_authn"
RBAC = "envoy.filters.http.rbac"
_CALLERS_KEPT = 20_000
_TOKENS_KEPT = 2_000


def typed(message: str, **fields: Any) -> Json:
    """An Envoy configuration message with its type."""
    return {"@type": f"type.googleapis.com/{message}", **fields}


def http_filter(name: str, message: str, **fields: Any) -> Json:
    """One entry of the chain of HTTP filters."""
    return {"name": name, "typed_config": typed(message, **fields)}


def router() -> Json:
    """The last filter of every chain."""
    return http_filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")


def edge_filters(limits: Limits, key_sets: Mapping[Issuer, str]) -> list[Json]:
    """Strip forged identity, limit by address, check the token, limit by subject, check the role, bound the body.

    `key_sets` holds each issuer's JWKS document.
    """
    return [
        strip_identity(),
        _limit("address", limits.requests_per_minute_per_address, {"remote_address": {}}, "remote_address"),
        token_check(key_sets),
        _limit("subject", limits.requests_per_minute_per_subject, _subject_of_token(), "subject"),
        http_filter(RBAC, "envoy.extensions.filters.http.rbac.v3.RBAC"),
        http_filter(
            "envoy.filters.http.buffer",
            "envoy.extensions.filters.http.buffer.v3.Buffer",
            max_request_bytes=limits.body_bytes,
        ),
        router(),
    ]


def strip_identity() -> Json:
    """Remove the headers that services trust, before anything here sets them."""
    names = (SUBJECT_HEADER, ROLE_HEADER, "x-envoy-upstream-rq-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on")
    return http_filter(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": [{"remove": name} for name in names]},
    )


def token_check(key_sets: Mapping[Issuer, str]) -> Json:
    """Token checks. Each route names its requirement; whatever names none needs an operator's token: default deny."""
    return http_filter(
        JWT,
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={issuer: _provider(issuer, key_sets[issuer]) for issuer in ISSUERS},
        requirement_map={issuer: {"provider_name": issuer} for issuer in ISSUERS},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "operators"}}],
    )


def _provider(issuer: Issuer, key_set: str) -> Json:
    """Operators' tokens travel on, since operations and analytics check them again; shoppers' end at the edge."""
    return {
        "issuer": issuer_name(issuer),
        "audiences": [AUDIENCES[issuer]],
        "local_jwks": {"inline_string": key_set},
        "forward": issuer == "operators",
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "require_expiration": True,
        # A shopper asks again and again with one token: its signature is checked once, its expiry each time.
        "jwt_cache_config": {"jwt_cache_size": _TOKENS_KEPT},
        "payload_in_metadata": "claims",
        "claim_to_headers": [
            {"header_name": SUBJECT_HEADER, "claim_name": "sub"},
            {"header_name": ROLE_HEADER, "claim_name": "role"},
        ],
    }


def token_of(issuer: Issuer | None) -> Json:
    """A route's own requirement: this issuer's token, or none for a public route."""
    message = "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig"
    return {JWT: typed(message, disabled=True) if issuer is None else typed(message, requirement_name=issuer)}


def only_roles(roles: tuple[str, ...]) -> Json:
    """A route's own role check, on the claims of the checked token."""
    claim = {"filter": JWT, "path": [{"key": "claims"}, {"key": "role"}]}
    claims = ({**claim, "value": {"string_match": {"exact": role}}} for role in roles)
    principals = [{"sourced_metadata": {"metadata_matcher": matcher}} for matcher in claims]
    policy = {"permissions": [{"any": True}], "principals": principals}
    rules = {"action": "ALLOW", "policies": {"roles": policy}}
    message = "envoy.extensions.filters.http.rbac.v3"
    return {RBAC: typed(f"{message}.RBACPerRoute", rbac={"rules": rules})}


def _subject_of_token() -> Json:
    return {"request_headers": {"header_name": SUBJECT_HEADER, "descriptor_key": "subject", "skip_if_absent": True}}


def _limit(name: str, per_minute: int, action: Json, key: str) -> Json:
    """A token bucket for each value of `key`, filled every second; the buckets of the latest callers are kept."""
    bucket = {"max_tokens": per_minute, "tokens_per_fill": max(1, per_minute // 60), "fill_interval": "1s"}
    on = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return http_filter(
        "envoy.filters.http.local_ratelimit",
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=f"per_{name}",
        filter_enabled=on,
        filter_enforced=on,
        rate_limits=[{"actions": [action]}],
        descriptors=[{"entries": [{"key": key}], "token_bucket": bucket}],
        max_dynamic_descriptors=_CALLERS_KEPT,
        always_consume_default_token_bucket=False,
        token_bucket={"max_tokens": 4294967295, "tokens_per_fill": 4294967295, "fill_interval": "1s"},
        response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}}],
    )
