# Controller and command line, for those who build images with an engine:
# docker build -f deploy/docker/controller.Dockerfile . (`cargo xtask image` writes the same without one.)
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates musl-tools && rustup target add x86_64-unknown-linux-musl
WORKDIR /schism
COPY . .
RUN cargo build --profile dist --locked --target x86_64-unknown-linux-musl --package controller --bin schism
# By its second name it is a plugin of kubectl. Only what is in a directory stays a link when it is copied.
RUN mkdir /programs && cp target/x86_64-unknown-linux-musl/dist/schism /programs && ln -s schism /programs/kubectl-schism

FROM scratch
COPY --from=build /programs/ /usr/bin/
# Where the command fetches what an experiment names, it trusts these authorities.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/usr/bin/schism"]
