"""Money as integer minor units (pence, cents) of the stack's one currency."""

from decimal import ROUND_HALF_EVEN, Decimal

_EXPONENTS = {"JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3}


def minor_units(amount: Decimal, currency: str) -> int:
    """Round a decimal amount half-even to the currency's minor unit.

    The exponent is ISO 4217's: 2 unless the currency is listed otherwise.
    """
    exponent = _EXPONENTS.get(currency, 2)
    return int(amount.scaleb(exponent).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def format_minor(amount_minor: int, currency: str) -> str:
    """Write minor units for a person: `format_minor(123456, "GBP")` is `GBP 1,234.56`."""
    exponent = _EXPONENTS.get(currency, 2)
    return f"{currency} {Decimal(amount_minor).scaleb(-exponent):,.{exponent}f}"
