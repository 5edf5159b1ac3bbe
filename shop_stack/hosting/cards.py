"""The services' cards by name; a service's modules are imported when its card is asked for, not before."""

from importlib import import_module

from shop_stack.errors import SettingError
from shop_stack.hosting.service import Service


def card_of(service: str) -> Service:
    """The card of a service: `CARD` of the package `shop_stack.services.<name>`. Raises SettingError."""
    module_name = f"shop_stack.services.{service}"
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise SettingError(f"no service is called {service!r}: there is no package {module_name}") from error
    found = getattr(module, "CARD", None)
    if not isinstance(found, Service) or found.name != service:
        raise SettingError(f"{module_name} has no CARD named {service!r}")
    return found
