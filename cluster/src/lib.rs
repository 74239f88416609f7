//! A small client of the API server of Kubernetes: what Schism asks of it, and no more. Usable without the
//! rest of this workspace.
//!
//! Every call ends in its time, says what was attempted and why it failed, in the words of the API server
//! where it has said any, and whether that may pass ([`ApiError::is_passing`]). Objects are read as structs
//! of the fields that are used; what they have besides is left alone, since nothing is ever replaced.

mod asked;
mod backoff;
mod call;
mod client;
mod config;
mod connection;
mod election;
mod error;
mod kind;
mod kubeconfig;
mod lines;
mod log;
mod login;
mod name;
mod program;
mod pulse;
mod resource;
mod secret;
mod server;
mod tls;
mod watch;

pub use asked::Asked;
pub use client::{Client, Grace, List, Precondition, Selection};
pub use config::{Config, ConfigError, Identity, Login, Token, Trust};
pub use election::{Candidate, Held, Leadership};
pub use error::{ApiError, Cause, Reason};
pub use kind::{
    binding::ClusterRoleBinding,
    budget::{Budget, BudgetSpec, BudgetStatus},
    definition::{Definition, DefinitionSchema, DefinitionSpec, DefinitionVersion},
    happening::{Happening, Involved, Source},
    job::{Job, JobCondition, JobContainer, JobPod, JobPodStatus, JobStatus},
    kept::{ConfigMap, SecretObject},
    lease::{Lease, LeaseSpec},
    logged::{LoggedContainer, LoggedPod, LoggedState, LoggedStatus, Terminated},
    node::{Node, NodeCondition, NodeInfo, NodeSpec, NodeStatus},
    pod::{
        Container, ContainerPort, ContainerState, ContainerStatus, Phase, Pod, PodCondition, PodIp,
        PodSpec, PodStatus, Running,
    },
    service::{Endpoint, EndpointSlice, Service, ServiceSpec, ServiceType, TargetRef},
    space::NamespaceObject,
    token::{Review, User},
    workload::{
        Deployment, LabelSelector, Operator, ReplicaSet, Requirement, StatefulSet, WorkloadSpec,
    },
};
pub use kubeconfig::{Kubeconfig, KubeconfigError, Programs};
pub use log::{Instance, Log, LogOf};
pub use name::{Name, NameError, Namespace};
pub use program::Program;
pub use pulse::Pulse;
pub use resource::{Kind, Metadata, Owner, Resource, Within};
pub use secret::Secret;
pub use server::{Server, ServerError};
pub use watch::{Event, Watch};
