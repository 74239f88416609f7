//! What brokers and gateways are told by their environment.

use std::{net::SocketAddr, path::Path, process::Command};

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

/// What backups are put into.
pub(super) const BUCKET: &str = "zeebe";

/// Fewer of the C library's own heaps: it would make one for each thread.
pub(super) const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "1");

/// Lets a node's own clock be moved.
const CONTROLLED: (&str, &str) = ("ZEEBE_CLOCK_CONTROLLED", "true");

/// What a Java is told that runs a broker or gateway, with spaces between.
pub(super) fn options(java: &Java) -> String {
    let quiet = if java.version >= 24 { QUIET } else { "" };
    format!("{HEAP} {quiet}")
}

pub(super) fn java(command: &mut Command, java: &Java, directory: &Path) {
    let temporary = directory.join("tmp");
    command.env("JAVA_HOME", &java.home).envs([ARENAS]);
    let options = options(java);
    command.env("JAVA_OPTS", format!("{options} -Djava.io.tmpdir={}", temporary.display()));
}

pub(super) fn broker(
    command: &mut Command,
    number: usize,
    brokers: &[Node],
    options: &Options,
    directory: &Path,
) {
    command.envs(of_brokers(options, &contacts(brokers)));
    command.env("ZEEBE_BROKER_CLUSTER_NODEID", number.to_string());
    command.env("ZEEBE_BROKER_NETWORK_ADVERTISEDHOST", brokers[number].v4.to_string());
    command.env("ZEEBE_BROKER_DATA_DIRECTORY", directory.join("data"));
}

/// What brokers are told that take backups to a store at an address. It lets everybody in, and each who asks has to say
/// who he is all the same.
pub(super) fn store(command: &mut Command, at: SocketAddr) {
    command.env("ZEEBE_BROKER_DATA_BACKUP_STORE", "S3");
    command.env("ZEEBE_BROKER_DATA_BACKUP_S3_ENDPOINT", format!("http://{at}"));
    command.env("ZEEBE_BROKER_DATA_BACKUP_S3_BUCKETNAME", BUCKET);
    command.env("ZEEBE_BROKER_DATA_BACKUP_S3_FORCEPATHSTYLEACCESS", "true");
    for name in ["REGION", "ACCESSKEY", "SECRETKEY"] {
        command.env(format!("ZEEBE_BROKER_DATA_BACKUP_S3_{name}"), "lab");
    }
}

/// What every broker is told, but for its number, its address and its directory. `contacts`: where brokers listen for
/// each other, with commas between.
pub(super) fn of_brokers(options: &Options, contacts: &str) -> Vec<(&'static str, String)> {
    let told = [
        ("ZEEBE_BROKER_CLUSTER_CLUSTERSIZE", options.brokers.to_string()),
        ("ZEEBE_BROKER_CLUSTER_PARTITIONSCOUNT", options.partitions.to_string()),
        ("ZEEBE_BROKER_CLUSTER_REPLICATIONFACTOR", options.replicas.to_string()),
        ("ZEEBE_BROKER_CLUSTER_INITIALCONTACTPOINTS", contacts.to_owned()),
    ];
    let same = [
        ("ZEEBE_BROKER_NETWORK_HOST", EVERYWHERE),
        ("ZEEBE_BROKER_GATEWAY_ENABLE", "true"),
        ("ZEEBE_BROKER_GATEWAY_NETWORK_HOST", EVERYWHERE),
        ("ZEEBE_BROKER_DATA_LOGSEGMENTSIZE", "16MB"),
        ("ZEEBE_BROKER_DATA_DISK_FREESPACE_PROCESSING", "100MB"),
        ("ZEEBE_BROKER_DATA_DISK_FREESPACE_REPLICATION", "50MB"),
        ("ZEEBE_BROKER_EXPERIMENTAL_ROCKSDB_MEMORYLIMIT", "32MB"),
        ("ZEEBE_BROKER_EXPERIMENTAL_RAFT_PREALLOCATESEGMENTFILES", "false"),
        ("ZEEBE_BROKER_THREADS_CPUTHREADCOUNT", "1"),
        ("ZEEBE_BROKER_THREADS_IOTHREADCOUNT", "1"),
        CONTROLLED,
        // Exports to a log that is off, so that there is something to be paused.
        ("ZEEBE_BROKER_EXPORTERS_LOG_CLASSNAME", LOG_EXPORTER),
        ("ZEEBE_BROKER_EXPORTERS_LOG_ARGS_LOGLEVEL", "trace"),
    ];
    told.into_iter().chain(same.map(|(name, value)| (name, value.to_owned()))).collect()
}

pub(super) fn gateway(command: &mut Command, own: &Node, brokers: &[Node]) {
    command.envs(of_gateways(&contacts(brokers)));
    command.env("ZEEBE_GATEWAY_CLUSTER_ADVERTISEDHOST", own.v4.to_string());
}

/// What the gateway is told that stands alone, but for its address.
pub(super) fn of_gateways(contacts: &str) -> Vec<(&'static str, String)> {
    let told = [
        ("ZEEBE_GATEWAY_NETWORK_HOST", EVERYWHERE),
        ("ZEEBE_GATEWAY_CLUSTER_INITIALCONTACTPOINTS", contacts),
        ("ZEEBE_GATEWAY_CLUSTER_HOST", EVERYWHERE),
        ("ZEEBE_GATEWAY_CLUSTER_MEMBERID", "gateway"),
        CONTROLLED,
    ];
    told.map(|(name, value)| (name, value.to_owned())).into()
}

fn contacts(brokers: &[Node]) -> String {
    let all = brokers.iter().map(|node| node.socket_address(Family::V4, INTERNAL_PORT).to_string());
    all.collect::<Vec<_>>().join(",")
}
