# The image of the shop: one static binary on an empty root, without shell, libc and
# root user. It builds with BuildKit and with the classic builder, so it mounts no
# caches.
#
#   docker build -t lonja --build-arg VERSION=1.2.3 --build-arg REVISION=$(git rev-parse HEAD) \
#     --build-arg CREATED=$(git log -1 --format=%cI) .
#
# The binary is reproducible: the same commit and the same Go give the same bytes on
# any machine and in any folder. -trimpath removes paths, -buildvcs=false the state
# of the working tree, and CGO_ENABLED=0 the C compiler. So you can check an image
# that someone else built:
#
#   CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags=-s -o lonja ./cmd/lonja && sha256sum lonja
#   docker cp "$(docker create lonja)":/lonja - | tar -xO | sha256sum

ARG GO_VERSION=1.26
# The server that the tests run on: the version in go.mod.
ARG NATS_VERSION=2.15.2

FROM golang:${GO_VERSION} AS build
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -ldflags=-s -o /lonja ./cmd/lonja
# An empty root has no mkdir. A new volume takes the owner of the folder that it is
# first mounted on. So these folders let an unprivileged user write to the volumes
# for the views, for `lonja nats-config --out /setup` and for `lonja keys create`.
RUN mkdir -p /root/image/data /root/image/setup && mkdir -m 700 /root/image/kek && cd /root/image/setup && \
    for identity in catalog gateway identity inventory observer operator orders payments receipts; do mkdir -p -m 700 keys/$identity; done

# The official NATS image with a volume that its user can write, and with a health
# check that needs no shell.
FROM nats:${NATS_VERSION} AS nats
COPY --from=build --chown=65532:65532 /root/image/data /data
COPY --from=build /lonja /lonja
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/lonja", "healthcheck", "http://127.0.0.1:8222/healthz"]

FROM scratch AS lonja
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /root/image /
COPY --from=build /lonja /lonja
USER 65532:65532
# SQLite's temporary files for large sorts go to the volume, because there is no
# /tmp.
ENV LONJA_HTTP=:8080 LONJA_DATA=/data TMPDIR=/data
EXPOSE 8080
ENTRYPOINT ["/lonja"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/lonja", "healthcheck"]

# Last, so that a new version does not change other layers.
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
# They are not in the binary, so that it stays reproducible.
ENV LONJA_VERSION=${VERSION} LONJA_REVISION=${REVISION}
LABEL org.opencontainers.image.title="lonja" \
      org.opencontainers.image.description="A shop backend: catalogue, stock, orders, payments and accounts, event-driven on NATS JetStream" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
