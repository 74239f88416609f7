# Controller and command line, for those who build images with an engine:
# docker build -f deploy/docker/controller.Dockerfile . (`cargo xtask image` writes the same without one.)
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates musl-tools && rustup target add x86_64-unknown-linux-musl
WORKDIR /schism
COPY . .
RUN cargo build --profile dist --locked --target x86_64-unknown-linux-musl --package controller --bin schism

FROM scratch
COPY --from=build /schism/target/x86_64-unknown-linux-musl/dist/schism /usr/bin/schism
# Where the command fetches what an experiment names, it trusts these authorities.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/usr/bin/schism"]
