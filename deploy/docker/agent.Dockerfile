# The agent, for those who build images with an engine: docker build -f deploy/docker/agent.Dockerfile .
# `cargo xtask image` writes the same without one.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools && rustup target add x86_64-unknown-linux-musl
WORKDIR /schism
COPY . .
RUN cargo build --profile dist --locked --target x86_64-unknown-linux-musl --package agent --bin schism-agent

FROM scratch
COPY --from=build /schism/target/x86_64-unknown-linux-musl/dist/schism-agent /usr/bin/schism-agent
ENTRYPOINT ["/usr/bin/schism-agent"]
