//! Pods of a Kubernetes cluster on the wire.

use fault::{
    ContainerName, KubernetesError, KubernetesPods, LabelKey, LabelRequirement, LabelSelector,
    LabelTest, LabelValue, PodsBy,
};

use crate::agent as wire;
use crate::agent::kubernetes_pods as part;
use crate::{Invalid, required};

impl From<&KubernetesPods> for wire::KubernetesPods {
    fn from(pods: &KubernetesPods) -> Self {
        use part::Which;
        let which = match &pods.which {
            PodsBy::Name { pod, container } => Which::Pod(part::Pod {
                name: pod.to_string(),
                container: container.as_ref().map(ToString::to_string).unwrap_or_default(),
            }),
            PodsBy::StatefulSet { name, ordinal } => {
                Which::StatefulSet(part::StatefulSet { name: name.to_string(), ordinal: *ordinal })
            }
            PodsBy::Deployment(name) => Which::Deployment(name.to_string()),
            PodsBy::Service(name) => Which::Service(name.to_string()),
            PodsBy::Labels(labels) => Which::Labels(part::Labels {
                requirements: labels.requirements().iter().map(Into::into).collect(),
            }),
        };
        Self { namespace: pods.namespace.to_string(), which: Some(which) }
    }
}

impl TryFrom<wire::KubernetesPods> for KubernetesPods {
    type Error = Invalid;

    fn try_from(pods: wire::KubernetesPods) -> Result<Self, Invalid> {
        use part::Which;
        let named = |field: &'static str| move |error: KubernetesError| Invalid::new(field, error);
        let which = match required(pods.which, "which")? {
            Which::Pod(one) => PodsBy::Name {
                pod: one.name.parse().map_err(named("pod.name"))?,
                container: container(&one.container)?,
            },
            Which::StatefulSet(set) => PodsBy::StatefulSet {
                name: set.name.parse().map_err(named("stateful_set.name"))?,
                ordinal: set.ordinal,
            },
            Which::Deployment(name) => {
                PodsBy::Deployment(name.parse().map_err(named("deployment"))?)
            }
            Which::Service(name) => PodsBy::Service(name.parse().map_err(named("service"))?),
            Which::Labels(labels) => {
                let all: Result<Vec<_>, Invalid> =
                    labels.requirements.into_iter().map(TryInto::try_into).collect();
                let all = LabelSelector::new(all.map_err(|error| error.within("labels"))?);
                PodsBy::Labels(all.ok_or_else(|| Invalid::new("labels", "says nothing"))?)
            }
        };
        Ok(Self { namespace: pods.namespace.parse().map_err(named("namespace"))?, which })
    }
}

fn container(name: &str) -> Result<Option<ContainerName>, Invalid> {
    match name {
        "" => Ok(None),
        name => {
            let name = ContainerName::new(name);
            let invalid = || Invalid::new("pod.container", KubernetesError::Container);
            name.map(Some).ok_or_else(invalid)
        }
    }
}

impl From<&LabelRequirement> for part::Requirement {
    fn from(requirement: &LabelRequirement) -> Self {
        use part::requirement::Test;
        let values = |values: &std::collections::BTreeSet<LabelValue>| part::Values {
            values: values.iter().map(ToString::to_string).collect(),
        };
        let test = match &requirement.test {
            LabelTest::Exists => Test::Exists(part::Any {}),
            LabelTest::Absent => Test::Absent(part::Any {}),
            LabelTest::Equals(value) => Test::Equals(value.to_string()),
            LabelTest::Differs(value) => Test::Differs(value.to_string()),
            LabelTest::In(all) => Test::In(values(all)),
            LabelTest::NotIn(all) => Test::NotIn(values(all)),
            LabelTest::Above(number) => Test::Above(*number),
            LabelTest::Below(number) => Test::Below(*number),
        };
        Self { key: requirement.key.to_string(), test: Some(test) }
    }
}

impl TryFrom<part::Requirement> for LabelRequirement {
    type Error = Invalid;

    fn try_from(requirement: part::Requirement) -> Result<Self, Invalid> {
        use part::requirement::Test;
        let key: Result<LabelKey, _> = requirement.key.parse();
        let key = key.map_err(|error| Invalid::new("key", error))?;
        let value = |text: String| -> Result<LabelValue, Invalid> {
            text.parse().map_err(|error| Invalid::new("value", error))
        };
        let values = |all: part::Values| match all.values.is_empty() {
            true => Err(Invalid::new("values", "is empty")),
            false => all.values.into_iter().map(value).collect::<Result<_, _>>(),
        };
        let test = match required(requirement.test, "test")? {
            Test::Exists(part::Any {}) => LabelTest::Exists,
            Test::Absent(part::Any {}) => LabelTest::Absent,
            Test::Equals(text) => LabelTest::Equals(value(text)?),
            Test::Differs(text) => LabelTest::Differs(value(text)?),
            Test::In(all) => LabelTest::In(values(all)?),
            Test::NotIn(all) => LabelTest::NotIn(values(all)?),
            Test::Above(number) => LabelTest::Above(number),
            Test::Below(number) => LabelTest::Below(number),
        };
        Ok(Self { key, test })
    }
}
