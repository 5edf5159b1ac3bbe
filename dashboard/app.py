"""The dashboard as one ASGI application: Streamlit behind compression."""

import logging
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

OPTIONS: dict[str, str | bool] = {
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",
    "browser.gatherUsageStats": False,
    "server.fileWatcherType": "none",
    "logger.level": "warning",
}


def make_app() -> st.App:
    """The application; Streamlit's options are set here, so that no file in a home folder can change them."""
    from streamlit import config, logger

    logger.setup_formatter = _as_others_do
    logger.update_formatter()
    logger.set_log_level(str(OPTIONS["logger.level"]))
    for name, value in OPTIONS.items():
        config.set_option(name, value)
    return st.App(Path(__file__).with_name("page.py"), middleware=[Middleware(GZipMiddleware, minimum_size=1024)])


def _as_others_do(logger: logging.Logger) -> None:
    """Streamlit gives its loggers, and the server's, handlers of their own: here their lines are the process's."""
    if (own := getattr(logger, "streamlit_console_handler", None)) is not None:
        logger.removeHandler(own)
    logger.propagate = True
