# The operator's image: one static binary with the commands manager and probe, run as an
# unprivileged user, without a shell.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux
ARG TARGETARCH
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
    go build -trimpath -buildvcs=false -ldflags="-s -w" -o /erlang-operator ./cmd/erlang-operator

FROM gcr.io/distroless/static:nonroot
COPY --from=build /erlang-operator /erlang-operator
USER 65532:65532
ENTRYPOINT ["/erlang-operator"]
