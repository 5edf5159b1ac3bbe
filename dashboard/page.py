"""The one page of the dashboard, from top to bottom as it looks."""

import streamlit as st

from dashboard import reads
from dashboard.views import flow, outlook, quality, services, vital_signs

_STYLE = """<style>
.block-container {padding-top: 2.2rem; padding-bottom: 3rem; max-width: 1280px;}
[data-testid="stMetricValue"] {font-size: 1.55rem;}
@media (max-width: 640px) {.block-container {padding-left: .8rem; padding-right: .8rem;}}
</style>"""

st.set_page_config(page_title=f"{reads.stack().name} · Shopfloor", page_icon=":material/storefront:", layout="wide")
st.html(_STYLE)
st.title(reads.stack().name, anchor=False)


@st.fragment(run_every=5)
def _today() -> None:
    vital_signs.show()


@st.fragment(run_every=30)
def _outlook() -> None:
    days, hour = st.columns(2, gap="large")
    with days:
        outlook.show_days()
    with hour:
        outlook.show_hour()


@st.fragment(run_every=10)
def _flow() -> None:
    events, funnel = st.columns([3, 2], gap="large")
    with events:
        flow.show_events()
    with funnel:
        flow.show_funnel()


@st.fragment(run_every=5)
def _services() -> None:
    services.show_health()
    services.show_actions()


@st.fragment(run_every=30)
def _quality() -> None:
    quality.show()


_today()
_outlook()
_services()
with st.expander("Scale a service", icon=":material/tune:"):
    services.show_scaling()
_flow()
flow.show_products()
_quality()
