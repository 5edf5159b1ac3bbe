"""The dashboard as one ASGI application: Streamlit behind compression."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

OPTIONS = {
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",
    "browser.gatherUsageStats": False,
    "server.fileWatcherType": "none",
    "logger.level": "warning",
}


def make_app() -> st.App:
    """The application; Streamlit's options are set here, so that no file in a home folder can change them."""
    from streamlit import config

    for name, value in OPTIONS.items():
        config.set_option(name, value)
    return st.App(Path(__file__).with_name("page.py"), middleware=[Middleware(GZipMiddleware, minimum_size=1024)])
