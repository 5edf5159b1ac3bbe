# One image for every process of ours; which one runs is said by the command (see compose.yaml).
# requirements.image.lock has all that our processes import, and leaves out some that only others' unused parts do.
# A private package index reaches the build as an optional secret:
#   docker build --secret id=pip_conf,src=$HOME/.config/pip/pip.conf .

FROM python:3.11-slim-bookworm AS packages
RUN python -m venv /opt/shopfloor
COPY requirements.image.lock /tmp/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    /opt/shopfloor/bin/pip install --no-cache-dir --no-compile --no-deps --require-hashes -r /tmp/requirements.image.lock \
    && rm -rf /opt/shopfloor/lib/python3.11/site-packages/pip /opt/shopfloor/lib/python3.11/site-packages/setuptools \
        /opt/shopfloor/lib/python3.11/site-packages/pkg_resources \
    && cd /opt/shopfloor/lib/python3.11/site-packages \
    && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
    && rm -rf pyarrow/include pyarrow/src pyarrow/*flight* pyarrow/*s3* pyarrow/*.pyx pyarrow/*.pxi \
        pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.* pyarrow/_gcsfs* pyarrow/_azurefs* pyarrow/_hdfs* \
        sqlalchemy/testing sqlalchemy/dialects/mysql sqlalchemy/dialects/mssql sqlalchemy/dialects/oracle \
    && find . -name '*.pyi' -delete && find . -name '*.pxd' -delete && find . -name '*.a' -delete \
    && /opt/shopfloor/bin/python -m compileall -q -j 0 .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin shopfloor \
    && mkdir -p /var/lib/shopfloor/keys /var/lib/shopfloor/mesh /var/lib/shopfloor/analytics /var/lib/shopfloor/provider \
        /run/secrets /run/runtime /vault \
    && for name in storefront customers catalog inventory orders payments shipping recommendations core shop \
        operations dashboard console past postgres; do mkdir -p /shares/$name; done \
    && chown -R shopfloor:shopfloor /var/lib/shopfloor /run/secrets /run/runtime /vault /shares
COPY --from=packages /opt/shopfloor /opt/shopfloor
COPY image/answers image/shopfloor /usr/local/bin/
COPY shop_stack /srv/shopfloor/shop_stack
COPY analytics /srv/shopfloor/analytics
COPY console /srv/shopfloor/console
COPY dashboard /srv/shopfloor/dashboard
RUN echo /srv/shopfloor > /opt/shopfloor/lib/python3.11/site-packages/shopfloor.pth \
    && /opt/shopfloor/bin/python -m compileall -q -j 0 /srv/shopfloor
ENV PATH=/opt/shopfloor/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    LANG=C.UTF-8
WORKDIR /srv/shopfloor
USER 10001:10001
CMD ["shopfloor", "--help"]
