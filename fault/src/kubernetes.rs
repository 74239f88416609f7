//! Pods of a Kubernetes cluster, by name, by what made them, by labels, or by the service that leads to them.

mod label;

use std::fmt;
use std::str::FromStr;

pub use label::{LabelError, LabelKey, LabelRequirement, LabelSelector, LabelTest, LabelValue};

use crate::{ContainerName, Legible};

/// The words that say what is named, each with others that people write for it.
const POD: &str = "pod";
const STATEFUL_SET: &str = "sts";
const DEPLOYMENT: &str = "deploy";
const SERVICE: &str = "svc";
const LABELLED: &str = "label:";
const ALIASES: [(&str, &[&str]); 5] = [
    (POD, &["pods", "po"]),
    (STATEFUL_SET, &["statefulset", "statefulsets", "ss"]),
    (DEPLOYMENT, &["deployment", "deployments", "dep"]),
    (SERVICE, &["service", "services"]),
    (LABELLED, &["label", "labels", "-l", "selector"]),
];

/// The longest name of an object, in bytes (a DNS subdomain, RFC 1123).
const LONGEST: usize = 253;

/// The longest name of a namespace or container, in bytes (a DNS label, RFC 1123).
const LONGEST_LABEL: usize = 63;

/// The PATH of `k8s:`, `NAMESPACE/KIND/NAME` or `NAMESPACE/label:SELECTOR`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KubernetesPods {
    /// In which namespace.
    pub namespace: KubernetesNamespace,
    /// Which of its pods.
    pub which: PodsBy,
}

/// By what pods are named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PodsBy {
    /// `pod/NAME[/CONTAINER]`, the pod of that name.
    Name {
        /// Its name.
        pod: ObjectName,
        /// One of its containers; `None` for the pod.
        container: Option<ContainerName>,
    },
    /// `sts/NAME[/ORDINAL]`, the pods of a StatefulSet.
    StatefulSet {
        /// Its name.
        name: ObjectName,
        /// Which one; `None` for all of them.
        ordinal: Option<u32>,
    },
    /// `deploy/NAME`, the pods of a Deployment.
    Deployment(ObjectName),
    /// `svc/NAME`, what a service leads to: a side of a cut, and more than pods.
    Service(ObjectName),
    /// `label:SELECTOR`, those whose labels fit.
    Labels(LabelSelector),
}

/// The name of a namespace of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesNamespace(String);

/// The name of an object of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

/// A text names no pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// Not that form.
    #[error(
        "of Kubernetes there are NAMESPACE/pod/NAME[/CONTAINER], NAMESPACE/sts/NAME[/ORDINAL], \
         NAMESPACE/deploy/NAME, NAMESPACE/label:SELECTOR and NAMESPACE/svc/NAME"
    )]
    Form,
    /// What stands first is no namespace but a kind.
    #[error("a namespace is missing; did you mean NAMESPACE/{}?", Legible(.0))]
    NoNamespace(String),
    /// A kind that there is not.
    #[error(
        "pods are named by pod/, sts/, deploy/ or label:, and what a service leads to by svc/, not by '{}'{}",
        Legible(.0), likely(.0)
    )]
    Kind(String),
    /// A namespace that cannot be named so.
    #[error(
        "a namespace of Kubernetes has at most 63 small letters, digits and '-', and begins and ends with a \
         letter or digit"
    )]
    Namespace,
    /// An object that cannot be named so.
    #[error(
        "an object of Kubernetes has a name of at most 253 small letters, digits, '-' and '.', and begins and \
         ends with a letter or digit"
    )]
    Name,
    /// A container that cannot be named so.
    #[error("a container's name has at most 63 small letters, digits and '-'")]
    Container,
    /// No number of a pod of a StatefulSet.
    #[error("a pod of a StatefulSet is a number from 0 on")]
    Ordinal,
    /// Labels that cannot be understood.
    #[error(transparent)]
    Label(#[from] LabelError),
}

/// What a word that is no kind was most likely meant to be.
fn likely(word: &str) -> String {
    let small = word.to_ascii_lowercase();
    let meant = ALIASES.iter().find(|(kind, others)| *kind == small || others.contains(&&*small));
    meant.map_or(String::new(), |(kind, _)| format!("; did you mean {kind}?"))
}

/// Whether a word says what is named, or is often taken for one that does.
fn is_kind(word: &str) -> bool {
    ALIASES.iter().any(|(kind, others)| *kind == word || others.contains(&word))
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next(), text.bytes().last());
    text.len() <= LONGEST_LABEL
        && first.is_some_and(plain)
        && last.is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

impl KubernetesPods {
    /// The service that is named, if one is.
    #[must_use]
    pub fn service(&self) -> Option<&ObjectName> {
        match &self.which {
            PodsBy::Service(name) => Some(name),
            PodsBy::Name { .. }
            | PodsBy::StatefulSet { .. }
            | PodsBy::Deployment(_)
            | PodsBy::Labels(_) => None,
        }
    }
}

impl FromStr for KubernetesPods {
    type Err = KubernetesError;

    fn from_str(text: &str) -> Result<Self, KubernetesError> {
        let Some((first, rest)) = text.split_once('/') else {
            let alone = text.starts_with(LABELLED) || is_kind(text);
            return Err(match alone {
                true => KubernetesError::NoNamespace(text.to_owned()),
                false => KubernetesError::Form,
            });
        };
        // `pod/web`, and labels with a prefix: but a namespace may be called so.
        let known =
            ["pod/", "sts/", "deploy/", "svc/", LABELLED].iter().any(|kind| rest.starts_with(kind));
        if first.starts_with(LABELLED) || (is_kind(first) && !known) {
            return Err(KubernetesError::NoNamespace(text.to_owned()));
        }
        let namespace = first.parse()?;
        let which = match rest.strip_prefix(LABELLED) {
            Some(labels) => PodsBy::Labels(labels.parse()?),
            None => by_name(rest)?,
        };
        Ok(Self { namespace, which })
    }
}

fn by_name(text: &str) -> Result<PodsBy, KubernetesError> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [POD, name] => Ok(PodsBy::Name { pod: name.parse()?, container: None }),
        [POD, name, container] => Ok(PodsBy::Name {
            pod: name.parse()?,
            container: Some(ContainerName::new(container).ok_or(KubernetesError::Container)?),
        }),
        [STATEFUL_SET, name] => Ok(PodsBy::StatefulSet { name: name.parse()?, ordinal: None }),
        [STATEFUL_SET, name, ordinal] => {
            let number: Option<u32> = ordinal.parse().ok();
            // As it is printed: no sign and no zeros before it, so that a selector has one text only.
            let number = number.filter(|number| number.to_string() == *ordinal);
            let ordinal = number.ok_or(KubernetesError::Ordinal)?;
            Ok(PodsBy::StatefulSet { name: name.parse()?, ordinal: Some(ordinal) })
        }
        [DEPLOYMENT, name] => Ok(PodsBy::Deployment(name.parse()?)),
        [SERVICE, name] => Ok(PodsBy::Service(name.parse()?)),
        [POD | STATEFUL_SET | DEPLOYMENT | SERVICE, ..] | [] => Err(KubernetesError::Form),
        [kind, ..] => Err(KubernetesError::Kind((*kind).to_owned())),
    }
}

impl fmt::Display for KubernetesPods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.namespace)?;
        match &self.which {
            PodsBy::Name { pod, container: None } => write!(f, "{POD}/{pod}"),
            PodsBy::Name { pod, container: Some(container) } => {
                write!(f, "{POD}/{pod}/{container}")
            }
            PodsBy::StatefulSet { name, ordinal: None } => write!(f, "{STATEFUL_SET}/{name}"),
            PodsBy::StatefulSet { name, ordinal: Some(ordinal) } => {
                write!(f, "{STATEFUL_SET}/{name}/{ordinal}")
            }
            PodsBy::Deployment(name) => write!(f, "{DEPLOYMENT}/{name}"),
            PodsBy::Service(name) => write!(f, "{SERVICE}/{name}"),
            PodsBy::Labels(labels) => write!(f, "{LABELLED}{labels}"),
        }
    }
}

macro_rules! name {
    ($name:ident, $fits:expr, $error:ident) => {
        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = KubernetesError;

            fn from_str(text: &str) -> Result<Self, KubernetesError> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) { Ok(Self(text.to_owned())) } else { Err(KubernetesError::$error) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(KubernetesNamespace, is_label, Namespace);
name!(ObjectName, |text| text.len() <= LONGEST && text.split('.').all(is_subdomain), Name);

/// A part of a name between two dots, which may be longer than a label: only the whole is bounded.
fn is_subdomain(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (part.bytes().next(), part.bytes().last());
    first.is_some_and(plain)
        && last.is_some_and(plain)
        && part.bytes().all(|byte| plain(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ObjectName {
        text.parse().unwrap()
    }

    #[test]
    fn forms() {
        let pod = |pod: &str, container: Option<&str>| PodsBy::Name {
            pod: name(pod),
            container: container.map(|text| ContainerName::new(text).unwrap()),
        };
        let table = [
            ("prod/pod/web-0", "prod", pod("web-0", None)),
            ("prod/pod/web.x/app", "prod", pod("web.x", Some("app"))),
            ("pod/pod/pod", "pod", pod("pod", None)),
            ("a/sts/zeebe", "a", PodsBy::StatefulSet { name: name("zeebe"), ordinal: None }),
            ("a/sts/zeebe/0", "a", PodsBy::StatefulSet { name: name("zeebe"), ordinal: Some(0) }),
            ("a/deploy/web", "a", PodsBy::Deployment(name("web"))),
            ("a/svc/web", "a", PodsBy::Service(name("web"))),
            ("svc/svc/svc", "svc", PodsBy::Service(name("svc"))),
            ("a/label:app=web", "a", PodsBy::Labels("app=web".parse().unwrap())),
            ("pod/label:x/y=z", "pod", PodsBy::Labels("x/y=z".parse().unwrap())),
        ];
        for (text, namespace, which) in table {
            let pods = KubernetesPods { namespace: namespace.parse().unwrap(), which };
            assert_eq!(text.parse(), Ok(pods.clone()), "{text}");
            assert_eq!(pods.to_string(), text);
        }
    }

    #[test]
    fn what_names_no_pods_is_refused_with_what_was_meant() {
        let table = [
            ("prod", "of Kubernetes there are"),
            ("pod/web", "did you mean NAMESPACE/pod/web?"),
            ("deploy/web", "did you mean NAMESPACE/deploy/web?"),
            ("label:app=web", "did you mean NAMESPACE/label:app=web?"),
            ("label:a.b/c=web", "did you mean NAMESPACE/label:a.b/c=web?"),
            ("prod/pods/web", "did you mean pod?"),
            ("prod/Pod/web", "did you mean pod?"),
            ("prod/statefulset/web", "did you mean sts?"),
            ("prod/deployments/web", "did you mean deploy?"),
            ("prod/labels/web", "did you mean label:?"),
            ("prod/service/web", "did you mean svc?"),
            ("svc/web", "did you mean NAMESPACE/svc/web?"),
            ("prod/svc/web/80", "of Kubernetes there are"),
            ("prod/node/web", "not by 'node'"),
            ("prod/web", "not by 'web'"),
            ("prod/pod", "of Kubernetes there are"),
            ("prod/deploy/web/0", "of Kubernetes there are"),
            ("prod/pod/a/b/c", "of Kubernetes there are"),
            ("Prod/pod/web", "a namespace of Kubernetes has"),
            ("a.b/pod/web", "a namespace of Kubernetes has"),
            ("/pod/web", "a namespace of Kubernetes has"),
            ("prod/pod/Web", "an object of Kubernetes has"),
            ("prod/pod/", "an object of Kubernetes has"),
            ("prod/pod/web/", "a container's name has"),
            ("prod/pod/web/a.b", "a container's name has"),
            ("prod/sts/web/x", "a number from 0 on"),
            ("prod/sts/web/00", "a number from 0 on"),
            ("prod/sts/web/-1", "a number from 0 on"),
            ("prod/label:", "a label is missing"),
        ];
        for (text, said) in table {
            let error = text.parse::<KubernetesPods>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
