# syntax=docker/dockerfile:1

# Two images, by target: `local` is the whole pipeline, `ingest` is ingest against AWS. See compose.yaml and docs/deploy.md.
# The base images are arguments, for builders that use another registry or none.
ARG RUST_IMAGE=rust:1.95-slim-trixie
ARG BASE_IMAGE=debian:trixie-slim

FROM ${RUST_IMAGE} AS source
WORKDIR /tidegate
COPY . .

# SQLite, deflate and the TLS library's ciphers are C; the image has a compiler for them. The target folder is a cache mount, which is no
# part of the image: so the binary is copied out of it.
FROM source AS build-local
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/tidegate/target \
    cargo build --release --locked --package tidegate \
    && cp target/release/tidegate /usr/local/bin/tidegate \
    && strip /usr/local/bin/tidegate

FROM source AS build-ingest
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/tidegate/target \
    cargo build --release --locked --package ingest-fn --features ingest-fn/aws --bin ingest-server \
    && cp target/release/ingest-server /usr/local/bin/ingest-server \
    && strip /usr/local/bin/ingest-server

FROM ${BASE_IMAGE} AS base
RUN useradd --system --uid 10001 --home-dir /data --create-home tidegate
COPY tidegate.toml /etc/tidegate/tidegate.toml
USER 10001
WORKDIR /data
EXPOSE 8080
# The image has no curl; bash can open a socket.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == *' 200 '* ]]"]
STOPSIGNAL SIGTERM

# Accepts bodies up to `limits.body_bytes` uncompressed; a Function URL accepts 6 MB. The function's variables name its resources:
# TIDEGATE_STREAM, TIDEGATE_BUCKET, TIDEGATE_SPILL_QUEUE.
FROM base AS ingest
# The certificate authorities that it trusts when it calls AWS.
COPY --from=build-ingest /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-ingest /usr/local/bin/ingest-server /usr/local/bin/ingest-server
ENV TIDEGATE_CONFIG=/etc/tidegate/tidegate.toml
ENTRYPOINT ["ingest-server"]

FROM base AS local
COPY --from=build-local /usr/local/bin/tidegate /usr/local/bin/tidegate
VOLUME /data
ENTRYPOINT ["tidegate"]
CMD ["local", "--listen", "0.0.0.0:8080", "--data", "/data", "--config", "/etc/tidegate/tidegate.toml"]
