# Carryall in a container: `docker compose up`, or
#   docker build -t carryall . && docker run -p 127.0.0.1:8000:8000 -v carryall-data:/data carryall

FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/build.lock requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/build.lock
COPY LICENSE README.md pyproject.toml ./
COPY src src
RUN hatchling build -t wheel -d /wheels

FROM python:3.13-slim
COPY requirements/serve.lock /tmp/serve.lock
RUN pip install --no-cache-dir --require-hashes -r /tmp/serve.lock && rm /tmp/serve.lock
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps --no-index /tmp/wheels/*.whl && rm -r /tmp/wheels \
    && useradd --system --uid 10001 --no-create-home carryall \
    && install -d -o carryall -m 0700 /data
# 0.0.0.0 is the container's own network; which addresses of the host lead there is said where it is started.
ENV CARRYALL_DATA_DIR=/data CARRYALL_HOST=0.0.0.0 CARRYALL_PORT=8000 PYTHONUNBUFFERED=1
WORKDIR /data
VOLUME /data
EXPOSE 8000
USER 10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"CARRYALL_PORT\"]}/health', timeout=4)"]
CMD ["carryall", "serve"]
