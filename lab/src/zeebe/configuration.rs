//! What brokers and gateways are told by their environment.

use std::{path::Path, process::Command};

use super::{INTERNAL_PORT, Java, cluster::Options};
use crate::topology::{Family, Node};

/// Small enough that four of them fit beside a build; the names are those of Zeebe 8.5.
const HEAP: &str = "-Xms96m -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -XX:MaxDirectMemorySize=128m -XX:ReservedCodeCacheSize=64m -Xss512k \
    -XX:ActiveProcessorCount=2";

/// Java 24 and later warn about what Zeebe's libraries do.
const QUIET: &str = "--sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED";

/// The exporter that comes with the broker.
const LOG_EXPORTER: &str = "io.camunda.zeebe.broker.exporter.debug.DebugLogExporter";

/// All addresses of both families. What a member calls itself is one of them, IPv4.
const EVERYWHERE: &str = "::";

pub(super) fn java(command: &mut Command, java: &Java, directory: &Path) {
    let quiet = if java.version >= 24 { QUIET } else { "" };
    let temporary = directory.join("tmp");
    command.env("JAVA_HOME", &java.home).env("MALLOC_ARENA_MAX", "1");
    command.env("JAVA_OPTS", format!("{HEAP} {quiet} -Djava.io.tmpdir={}", temporary.display()));
}

pub(super) fn broker(
    command: &mut Command,
    number: usize,
    brokers: &[Node],
    options: &Options,
    directory: &Path,
) {
    let own = &brokers[number];
    let data = directory.join("data");
    command.env("ZEEBE_BROKER_CLUSTER_NODEID", number.to_string());
    command.env("ZEEBE_BROKER_CLUSTER_CLUSTERSIZE", brokers.len().to_string());
    command.env("ZEEBE_BROKER_CLUSTER_PARTITIONSCOUNT", options.partitions.to_string());
    command.env("ZEEBE_BROKER_CLUSTER_REPLICATIONFACTOR", options.replicas.to_string());
    command.env("ZEEBE_BROKER_CLUSTER_INITIALCONTACTPOINTS", contacts(brokers));
    command.env("ZEEBE_BROKER_NETWORK_HOST", EVERYWHERE);
    command.env("ZEEBE_BROKER_NETWORK_ADVERTISEDHOST", own.v4.to_string());
    command.env("ZEEBE_BROKER_GATEWAY_ENABLE", "true");
    command.env("ZEEBE_BROKER_GATEWAY_NETWORK_HOST", EVERYWHERE);
    command.env("ZEEBE_BROKER_DATA_DIRECTORY", data);
    command.env("ZEEBE_BROKER_DATA_LOGSEGMENTSIZE", "16MB");
    command.env("ZEEBE_BROKER_DATA_DISK_FREESPACE_PROCESSING", "100MB");
    command.env("ZEEBE_BROKER_DATA_DISK_FREESPACE_REPLICATION", "50MB");
    command.env("ZEEBE_BROKER_EXPERIMENTAL_ROCKSDB_MEMORYLIMIT", "32MB");
    command.env("ZEEBE_BROKER_EXPERIMENTAL_RAFT_PREALLOCATESEGMENTFILES", "false");
    command.env("ZEEBE_BROKER_THREADS_CPUTHREADCOUNT", "1");
    command.env("ZEEBE_BROKER_THREADS_IOTHREADCOUNT", "1");
    command.env("ZEEBE_CLOCK_CONTROLLED", "true");
    // Exports to a log that is off, so that there is something to be paused.
    command.env("ZEEBE_BROKER_EXPORTERS_LOG_CLASSNAME", LOG_EXPORTER);
    command.env("ZEEBE_BROKER_EXPORTERS_LOG_ARGS_LOGLEVEL", "trace");
}

pub(super) fn gateway(command: &mut Command, own: &Node, brokers: &[Node]) {
    command.env("ZEEBE_GATEWAY_NETWORK_HOST", EVERYWHERE);
    command.env("ZEEBE_GATEWAY_CLUSTER_INITIALCONTACTPOINTS", contacts(brokers));
    command.env("ZEEBE_GATEWAY_CLUSTER_HOST", EVERYWHERE);
    command.env("ZEEBE_GATEWAY_CLUSTER_ADVERTISEDHOST", own.v4.to_string());
    command.env("ZEEBE_GATEWAY_CLUSTER_MEMBERID", "gateway");
    command.env("ZEEBE_CLOCK_CONTROLLED", "true");
}

fn contacts(brokers: &[Node]) -> String {
    let all = brokers.iter().map(|node| node.socket_address(Family::V4, INTERNAL_PORT).to_string());
    all.collect::<Vec<_>>().join(",")
}
