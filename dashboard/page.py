"""The one page of the dashboard, from top to bottom as it looks."""

import streamlit as st

from dashboard import reads
from dashboard.views import flow, looking_back, outlook, quality, services, services_then, vital_signs

_STYLE = """<style>
.block-container {padding-top: 2.2rem; padding-bottom: 3rem; max-width: 1280px;}
[data-testid="stMetricValue"] {font-size: 1.55rem;}
[data-testid="stLayoutWrapper"]:has(> .st-key-looking-back) {
  position: sticky; top: 3.2rem; z-index: 90; backdrop-filter: blur(14px);}
@media (max-width: 640px) {.block-container {padding-left: .8rem; padding-right: .8rem;}}
</style>"""

st.set_page_config(page_title=f"{reads.stack().name} · Shopfloor", page_icon=":material/storefront:", layout="wide")
st.html(_STYLE)
when = looking_back.choose()


@st.fragment(run_every=when.every(5))
def _trouble() -> None:
    if not when.back:
        services.show_trouble()


@st.fragment(run_every=when.every(5))
def _today() -> None:
    vital_signs.show(when)


@st.fragment(run_every=when.every(30))
def _outlook() -> None:
    days, hour = st.columns(2, gap="large")
    with days:
        outlook.show_days(when)
    with hour:
        outlook.show_hour(when)


@st.fragment(run_every=when.every(10))
def _flow() -> None:
    events, funnel = st.columns([3, 2], gap="large")
    with events:
        flow.show_events(when)
    with funnel:
        flow.show_funnel(when)


@st.fragment(run_every=when.every(5))
def _services() -> None:
    if when.back:
        services_then.show_health(when)
        services_then.show_incidents(when)
        services_then.show_actions(when)
        return
    services.show_health()
    services.show_incidents()
    services.show_actions()


@st.fragment(run_every=when.every(30))
def _quality() -> None:
    quality.show(when)


_trouble()
_today()
_outlook()
_services()
with st.expander("Scale a service", icon=":material/tune:"):
    if when.back:
        looking_back.not_kept("Scaling acts on the services of now, and what it promises is")
    else:
        services.show_scaling()
_flow()
flow.show_products(when)
_quality()
