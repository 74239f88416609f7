//! Real systems to break: network namespaces, etcd, traffic.
