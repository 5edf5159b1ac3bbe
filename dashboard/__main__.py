"""`python -m dashboard`: the web dashboard, started by the supervisor."""

import uvicorn

from dashboard.app import make_app
from shop_stack.listening import listen_on
from shop_stack.logs import write_json_lines
from shop_stack.runtime import lifeline
from shop_stack.settings import from_environment


def main() -> None:
    """Serve until SIGTERM, on loopback only (or a container's own network): readers are not asked who they are."""
    write_json_lines("dashboard")
    settings = from_environment()
    lifeline.follow_supervisor()
    listener = listen_on(settings.inside, settings.ports["dashboard"], "the dashboard")
    config = uvicorn.Config(make_app(), log_config=None, access_log=False, ws="websockets")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
