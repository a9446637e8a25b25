# The operator's image: one static binary, run as an unprivileged user, with nothing else.
# Releases are built with the same flags and the same configuration (hack/gobuild).
FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26.8 AS build
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=unknown
WORKDIR /src
# Modules first: they change less often than the sources.
COPY go.mod go.sum ./
RUN go mod download
COPY api ./api
COPY certs ./certs
COPY cmd ./cmd
COPY controllers ./controllers
COPY erldist ./erldist
COPY probe ./probe
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" \
    -o /erlang-operator ./cmd/erlang-operator

FROM scratch
COPY --from=build /erlang-operator /erlang-operator
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/erlang-operator"]
