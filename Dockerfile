# syntax=docker/dockerfile:1

# `tidegate local` in a container: the whole pipeline, nothing else to run. See compose.yaml.

FROM rust:1.95-slim-trixie AS build
WORKDIR /tidegate
COPY . .
# SQLite and deflate are C; the image has a compiler for them. The target folder and the registry are caches, so what is
# wanted is copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/tidegate/target \
    cargo build --release --locked --package tidegate \
    && cp target/release/tidegate /usr/local/bin/tidegate \
    && strip /usr/local/bin/tidegate

FROM debian:trixie-slim AS local
RUN useradd --system --uid 10001 --home-dir /data --create-home tidegate
COPY --from=build /usr/local/bin/tidegate /usr/local/bin/tidegate
COPY tidegate.toml /etc/tidegate/tidegate.toml
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# There is no curl in here; bash can open a socket.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == *' 200 '* ]]"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tidegate"]
CMD ["local", "--listen", "0.0.0.0:8080", "--data", "/data", "--config", "/etc/tidegate/tidegate.toml"]
