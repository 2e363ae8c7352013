# Three images from one file:
#   docker build --target api -t lrserve-api .          no torch, less than 300 MB
#   docker build --target worker -t lrserve-worker .    torch with CUDA, as PyPI has it; trains on the CPU where no GPU is given
#   docker build --target worker --build-arg PIP_TORCH="--index-url https://download.pytorch.org/whl/cpu" -t lrserve-worker:cpu .
#   docker build -t lrserve .                           all of it to try out: docker run -p 8000:8000 lrserve
# They run as user and group 10001, with a read-only root, and write to /tmp and to /var/lib/lrserve.

# The whole python image has what the slim one lacks here: strip, and a place for what only the build needs
FROM python:3.12 AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# tini, as process 1: until Python has its own handlers the kernel would ignore SIGTERM to it, and importing torch takes
# seconds; and probes that run in the container leave children that somebody must wait for
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements requirements
COPY pyproject.toml README.md LICENSE ./
COPY api ./api
COPY lrcore ./lrcore
COPY lrserve ./lrserve
COPY worker ./worker
RUN pip wheel --no-deps --wheel-dir /wheels . \
    && pip install --no-deps --root /installed /wheels/*.whl

FROM build AS api-files
RUN python -m venv --without-pip /opt/lrserve \
    && pip --python /opt/lrserve/bin/python install --no-compile --require-hashes -r requirements/api.txt \
    && pip --python /opt/lrserve/bin/python install --no-compile --no-deps /wheels/*.whl
COPY docs/deploy/slim.sh docs/deploy/smoke.py ./
# Leaves out what no process reads, then serves one of everything: which is the proof that it still works, and leaves
# bytecode of the modules that are imported, and of no others, so that a start takes no compiling
RUN bash slim.sh /opt/lrserve && /opt/lrserve/bin/python smoke.py

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    LRSERVE_HOME=/var/lib/lrserve MPLCONFIGDIR=/tmp/matplotlib HOME=/tmp
COPY --from=build /usr/bin/tini /usr/bin/tini
# The folder exists before a volume is put there, so that the volume belongs to the user and not to root
RUN groupadd --system --gid 10001 lrserve \
    && useradd --system --uid 10001 --gid lrserve --no-create-home lrserve \
    && install -d -o lrserve -g lrserve /var/lib/lrserve
WORKDIR /var/lib/lrserve
ENTRYPOINT ["tini", "--"]

FROM base AS api
# The API asks for keys anyway, as it listens on all addresses. `lrserve doctor` in the container knows it by this variable
ENV PATH=/opt/lrserve/bin:$PATH LRSERVE_AUTH=true
COPY --from=api-files /opt/lrserve /opt/lrserve
USER 10001:10001
EXPOSE 8000
# whether it serves; whether it can take jobs, which is Redis' affair, says /readyz
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# SIGTERM, which `docker stop` sends: streams end, requests are answered; within LRSERVE_SHUTDOWN_SECONDS and a few more
CMD ["python", "-m", "lrserve.api", "--host", "0.0.0.0", "--port", "8000"]

# What trains: torch and what a worker needs besides, for the two images below
FROM base AS training
ARG TORCH="torch==2.13.0 torchvision==0.28.0"
ARG PIP_TORCH=""
# torch first: a layer of gigabytes that a change of the code does not touch. Its builds differ by hardware and come from
# different places, so that versions are fixed here and hashes are not
# hadolint ignore=DL3013,SC2086
RUN pip install ${PIP_TORCH} ${TORCH}
COPY requirements/worker.txt /tmp/
RUN pip install --require-hashes -r /tmp/worker.txt
# Both Python images have the same prefix. So no layer holds the wheel
COPY --from=build /installed/usr/local /usr/local
# pretrained weights are kept beside the data sets: /tmp may be memory
ENV LRSERVE_ALIVE_FILE=/tmp/alive TORCH_HOME=/var/lib/lrserve/torch

FROM training AS worker
USER 10001:10001
# The worker touches the file every 5 s, whether or not Redis answers. A job that stands still ends its worker by itself
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["sh", "-c", "test -n \"$(find /tmp/alive -newermt '-30 seconds')\""]
# SIGTERM, which `docker stop` sends: the present job goes back to the queue between two steps, and the process ends
CMD ["python", "-m", "lrserve.worker"]

# Redis, the API and one worker per GPU, or one on the CPU, as `lrserve up` starts them on any machine
FROM training AS lrserve
COPY requirements/lrserve.txt /tmp/
RUN pip install --require-hashes -r /tmp/lrserve.txt
ENV LRSERVE_AUTH=true
USER 10001:10001
EXPOSE 8000
# Redis' file, keys, checkpoints, data sets and artifacts
VOLUME /var/lib/lrserve
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# The first start prints an admin key. SIGTERM ends everything in order, with the present job back in the queue
CMD ["lrserve", "up", "--host", "0.0.0.0"]
