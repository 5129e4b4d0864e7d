# An image in which every command of README.md works, on a laptop and in the pods of a cluster:
#
#     docker build -t kd-search .                                  # for CPUs
#     docker build -t kd-search:cuda --build-arg TORCH=cuda .      # for NVIDIA's GPUs
#     docker run --rm --shm-size 4g -v kd-runs:/home/kd/runs kd-search kd-search lsskd
#
# docs/container.md says more.
FROM python:3.11-slim

# tini ends what a sweep starts, wget and bash are what KubeRay asks a pod's health with, pgrep (of
# procps) what clusters/mps.sh looks for Ray with, and PyTorch compiles with g++. A release of Debian
# keeps the newest version of a package alone, so none can be named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash g++ procps tini wget \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.9

# cpu, or cuda: the build of PyTorch that requirements.txt pins; or cu126, cu130, … for a driver
# that is older than that build's CUDA.
ARG TORCH=cpu
WORKDIR /opt/kd-search

# The libraries are a layer of their own, which a change of the code leaves as it is. The pins bound
# what is installed and add nothing: PyTorch for CPUs needs none of NVIDIA's libraries.
COPY requirements.txt pyproject.toml ./
RUN if [ "$TORCH" != cuda ]; then export UV_TORCH_BACKEND="$TORCH"; fi \
    && uv pip install --system --no-cache --compile-bytecode --constraints requirements.txt \
        --requirements pyproject.toml --extra export --extra postgres --extra timm

COPY README.md ./
COPY clusters clusters
COPY kd kd
COPY search_spaces search_spaces
COPY tuning tuning
RUN uv pip install --system --no-cache --compile-bytecode --no-deps \
        --build-constraints requirements.txt .

# Whoever runs it, by `--user` too, is of the group 0, which may write into this home.
RUN useradd --uid 1000 --gid 0 --create-home kd \
    && mkdir -p /home/kd/runs /home/kd/.cache/kd \
    && chown -R kd:0 /home/kd \
    && chmod -R g=u /home/kd
COPY --chown=kd:0 ray_cluster.yaml /home/kd/
COPY --chown=kd:0 clusters /home/kd/clusters
COPY --chown=kd:0 examples /home/kd/examples
COPY --chown=kd:0 search_spaces/ablations /home/kd/search_spaces/ablations

ENV HOME=/home/kd \
    USER=kd \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/kd
VOLUME /home/kd/runs
ENTRYPOINT ["tini", "--"]
CMD ["kd-search", "--help"]
