# svdlab in a container: the web page on port 7860, its data in the volume /data.
#
#   docker build -t svdlab .                           CPU
#   docker build -t svdlab --build-arg TORCH=cuda .    NVIDIA
#   docker run -p 7860:7860 -v svdlab:/data svdlab     (--gpus all for NVIDIA)
#   docker run --read-only --stop-timeout 40 …         nothing is written but in /data; a step in progress may end
#   docker run --rm svdlab svdlab checkpoints          any other command of svdlab
#
# A host folder mounted at /data must be writable for uid 1000.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

# Largest and rarest change first: torch, then the other libraries, then svdlab itself.
# On Linux, PyPI's torch is the CUDA build (about 3 GB); the CPU build is a tenth of that.
ARG TORCH=cpu
COPY constraints.txt ./
RUN case "$TORCH" in \
      cpu) pip install --no-deps -c constraints.txt --index-url https://download.pytorch.org/whl/cpu torch ;; \
      cuda) pip install -c constraints.txt torch ;; \
      *) echo "TORCH must be cpu or cuda, got $TORCH" >&2; exit 1 ;; \
    esac

COPY requirements.txt ./
RUN pip install -c constraints.txt -r requirements.txt

COPY . .
RUN pip install --no-deps . && rm -rf /app/*

# Home, uploads and whatever libraries keep are in the volume, so that everything else may be read-only.
RUN useradd --uid 1000 --home-dir /data --no-create-home svdlab && install -d -o 1000 -g 1000 /data
USER 1000
WORKDIR /data

ENV SVDLAB_HOST=0.0.0.0 \
    SVDLAB_PORT=7860 \
    SVDLAB_DATA_DIR=/data \
    HOME=/data \
    TMPDIR=/data/tmp \
    HF_HOME=/data/huggingface \
    GRADIO_ANALYTICS_ENABLED=False \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /data
EXPOSE 7860

# Whether runs are rendered, not only whether a page is served; asked directly, whatever proxy there is.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['SVDLAB_PORT'] + '/healthz', timeout=9)"]

CMD ["svdlab", "app", "--host", "0.0.0.0"]
