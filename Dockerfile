# syntax=docker/dockerfile:1
# Two images from one file:
#   docker build --target api -t lrserve-api .          no torch
#   docker build --target worker -t lrserve-worker .    torch with CUDA, as PyPI has it; trains on the CPU where no GPU is given
#   docker build --target worker --build-arg PIP_TORCH="--index-url https://download.pytorch.org/whl/cpu" -t lrserve-worker .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    LRSERVE_HOME=/var/lib/lrserve MPLCONFIGDIR=/tmp/matplotlib
# The folder exists before a volume is put there, so that the volume belongs to the user and not to root
RUN useradd --system --uid 10001 --user-group --no-create-home lrserve \
    && install -d -o lrserve -g lrserve /var/lib/lrserve
WORKDIR /app

FROM base AS api
COPY requirements/api.txt requirements/
RUN pip install --require-hashes -r requirements/api.txt
COPY pyproject.toml README.md LICENSE ./
COPY api ./api
COPY cli ./cli
COPY lrcore ./lrcore
COPY worker ./worker
RUN pip install --no-deps .
USER lrserve
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["lrserve", "api", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS worker
ARG TORCH="torch==2.13.0 torchvision==0.28.0"
ARG PIP_TORCH=""
# torch first: a layer of gigabytes that a change of the code does not touch. Its builds differ by hardware and come from
# different places, so that versions are fixed here and hashes are not
# hadolint ignore=DL3013,SC2086
RUN pip install ${PIP_TORCH} ${TORCH}
COPY requirements/worker.txt requirements/
RUN pip install --require-hashes -r requirements/worker.txt
COPY pyproject.toml README.md LICENSE ./
COPY api ./api
COPY cli ./cli
COPY lrcore ./lrcore
COPY worker ./worker
RUN pip install --no-deps .
USER lrserve
# SIGTERM, which `docker stop` sends: the present job goes back to the queue, and the process ends
CMD ["lrserve", "worker"]
