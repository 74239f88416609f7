//! Text that names targets: `[PICK:]SCHEME:PATH[@NODE]`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::legible::{beginning, end, printed};
use crate::{
    AddressError, EtcdMembers, EtcdRoleError, KubernetesError, KubernetesPods, Legible, Pick, Pod,
    PodError, Prefix, ZeebeMembers, ZeebeRoleError,
};

/// A selector. Printing and parsing are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// How many of several matches are meant.
    pub pick: Option<Pick>,
    /// What is named, and how.
    pub scheme: Scheme,
    /// On which node; `None` where that follows from the rest, or on this machine.
    pub node: Option<NodeName>,
}

/// What a selector names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `netns:NAME`, a network namespace that `ip netns` knows.
    Netns(String),
    /// `pid:NUMBER`, a process.
    Pid(u32),
    /// `container:ID`, a container by its id or the beginning of it.
    Container(String),
    /// `pod:UID[/CONTAINER]`, a pod of Kubernetes by its identifier, or one of its containers.
    Pod(Pod),
    /// `host:NODE`, a node itself.
    Host(NodeName),
    /// `addr:PREFIX`, addresses; a peer, never a target.
    Addr(Prefix),
    /// `etcd:ROLE`, members of an etcd cluster.
    Etcd(EtcdMembers),
    /// `zeebe:ROLE`, brokers and gateways of a Zeebe cluster.
    Zeebe(ZeebeMembers),
    /// `k8s:NAMESPACE/…`, pods of a Kubernetes cluster, or what a service leads to.
    Kubernetes(Box<KubernetesPods>),
}

/// The name of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// Takes a name of letters, digits, `.`, `_` and `-`; `None` for anything else.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (!name.is_empty() && name.len() <= 253 && name.chars().all(fits))
            .then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text is no selector, and where in it the trouble is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError {
    /// The whole text.
    pub text: String,
    /// Byte offset of the trouble.
    pub at: usize,
    /// Its length in bytes; 0 where something is missing.
    pub length: usize,
    /// What is wrong.
    pub kind: SelectorErrorKind,
}

/// The words before a path.
const SCHEMES: [&str; 9] =
    ["netns", "pid", "container", "pod", "host", "addr", "etcd", "zeebe", "k8s"];

/// How many columns an error shows before and after the place.
const AROUND: usize = 24;
/// How many it shows of the place itself.
const MARKED: usize = 40;

/// A text without a scheme with what it most likely lacks: a number is a process, and `pod/web` is of Kubernetes.
#[must_use]
pub fn likeliest(text: &str) -> String {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pods = text.parse::<KubernetesPods>();
    let lacks_namespace = matches!(pods, Err(KubernetesError::NoNamespace(_)));
    let scheme = if is_number {
        "pid:"
    } else if pods.is_ok() {
        "k8s:"
    } else if lacks_namespace && text.contains('/') {
        "k8s:NAMESPACE/"
    } else {
        "netns:"
    };
    format!("{scheme}{}", Legible(text))
}

/// What is wrong with a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorErrorKind {
    /// No `SCHEME:` at all.
    #[error(
        "a scheme is missing; did you mean {}? (netns:, pid:, container:, pod:, host:, addr:, etcd:, zeebe:, k8s:)",
        likeliest(.0)
    )]
    NoScheme(String),
    /// A scheme that there is not.
    #[error(
        "there is no scheme '{}:'; there are netns:, pid:, container:, pod:, host:, addr:, etcd:, zeebe: and \
         k8s:",
        Legible(.0)
    )]
    UnknownScheme(String),
    /// Nothing after the scheme.
    #[error("a name is missing here")]
    Empty,
    /// A pid that is no positive number.
    #[error("a pid is a number from 1 to 4194304")]
    Pid,
    /// A container id that is none.
    #[error("a container id has 4 to 128 letters, digits, '-', '_' or '.'")]
    Container,
    /// A pod that is none.
    #[error("{0}")]
    Pod(PodError),
    /// A namespace that cannot be named so.
    #[error(
        "a namespace's name has no '/', '@', space or control character, and at most 255 bytes"
    )]
    Netns,
    /// `.` and `..` are in every directory, so also in that of the namespaces' names.
    #[error(
        "'.' and '..' are directories, never a namespace; write the name that `ip netns` shows"
    )]
    Dots,
    /// A node that cannot be named so.
    #[error("a node's name has letters, digits, '.', '_' and '-'")]
    Node,
    /// An address that is none.
    #[error("{0}")]
    Address(AddressError),
    /// No role of etcd.
    #[error("{0}")]
    Role(EtcdRoleError),
    /// No role of Zeebe.
    #[error("{0}")]
    ZeebeRole(ZeebeRoleError),
    /// No pods of Kubernetes.
    #[error("{0}")]
    Kubernetes(KubernetesError),
    /// Nor does what a service leads to.
    #[error("svc/ names all that the service leads to; it takes no pick")]
    PickOfService,
    /// A service leads to nodes as it likes.
    #[error("a service is on no node; it takes no @NODE")]
    NodeOfService,
    /// An address set has no members to pick from.
    #[error("addr: names all its addresses; it takes no pick")]
    PickOfAddresses,
}

impl Selector {
    /// Whether it names what a service of Kubernetes leads to.
    #[must_use]
    pub fn is_service(&self) -> bool {
        match &self.scheme {
            Scheme::Kubernetes(pods) => pods.service().is_some(),
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_) => false,
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let fail = |at: usize, length: usize, kind| {
            Err(SelectorError { text: text.to_owned(), at, length, kind })
        };
        let Some((first, _)) = text.split_once(':') else {
            return fail(0, text.len(), SelectorErrorKind::NoScheme(text.to_owned()));
        };
        let pick = Pick::parse(first);
        let begin = if pick.is_some() { first.len() + 1 } else { 0 };
        let Some((scheme, rest)) = text[begin..].split_once(':') else {
            let rest = &text[begin..];
            return fail(begin, rest.len(), SelectorErrorKind::NoScheme(rest.to_owned()));
        };
        let path_at = begin + scheme.len() + 1;
        let (path, node) = match rest.rsplit_once('@') {
            Some((path, node)) => match NodeName::new(node) {
                Some(name) => (path, Some(name)),
                None => return fail(path_at + path.len() + 1, node.len(), SelectorErrorKind::Node),
            },
            None => (rest, None),
        };
        if !SCHEMES.contains(&scheme) {
            return fail(begin, scheme.len(), SelectorErrorKind::UnknownScheme(scheme.to_owned()));
        }
        if path.is_empty() {
            return fail(path_at, 0, SelectorErrorKind::Empty);
        }
        let scheme = match scheme_of(scheme, path) {
            Ok(scheme) => scheme,
            Err(kind) => return fail(path_at, path.len(), kind),
        };
        if pick.is_some() && matches!(scheme, Scheme::Addr(_)) {
            return fail(0, begin - 1, SelectorErrorKind::PickOfAddresses);
        }
        let selector = Self { pick, scheme, node };
        match (&selector.pick, &selector.node) {
            (Some(_), _) if selector.is_service() => {
                fail(0, begin - 1, SelectorErrorKind::PickOfService)
            }
            (None, Some(node)) if selector.is_service() => {
                let length = node.as_str().len();
                fail(text.len() - length, length, SelectorErrorKind::NodeOfService)
            }
            _ => Ok(selector),
        }
    }
}

fn scheme_of(scheme: &str, path: &str) -> Result<Scheme, SelectorErrorKind> {
    match scheme {
        "netns" => {
            let fits = |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '/' | '@'));
            let dots = path.chars().all(|c| c == '.') && path.len() < 3;
            if dots {
                return Err(SelectorErrorKind::Dots);
            }
            if path.len() > 255 || !path.chars().all(fits) {
                return Err(SelectorErrorKind::Netns);
            }
            Ok(Scheme::Netns(path.to_owned()))
        }
        "pid" => match path.parse() {
            // PID_MAX_LIMIT of 64-bit kernels, include/linux/threads.h.
            Ok(pid @ 1..=4_194_304) if !path.starts_with('+') => Ok(Scheme::Pid(pid)),
            Ok(_) | Err(_) => Err(SelectorErrorKind::Pid),
        },
        "container" => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if !(4..=128).contains(&path.len()) || !path.chars().all(fits) {
                return Err(SelectorErrorKind::Container);
            }
            Ok(Scheme::Container(path.to_owned()))
        }
        "pod" => path.parse().map(Scheme::Pod).map_err(SelectorErrorKind::Pod),
        "host" => NodeName::new(path).map(Scheme::Host).ok_or(SelectorErrorKind::Node),
        "etcd" => path.parse().map(Scheme::Etcd).map_err(SelectorErrorKind::Role),
        "zeebe" => path.parse().map(Scheme::Zeebe).map_err(SelectorErrorKind::ZeebeRole),
        "k8s" => path
            .parse()
            .map(|pods| Scheme::Kubernetes(Box::new(pods)))
            .map_err(SelectorErrorKind::Kubernetes),
        _ => path.parse().map(Scheme::Addr).map_err(SelectorErrorKind::Address),
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netns(name) => write!(f, "netns:{name}"),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::Container(id) => write!(f, "container:{id}"),
            Self::Pod(pod) => write!(f, "pod:{pod}"),
            Self::Host(node) => write!(f, "host:{node}"),
            Self::Addr(prefix) => write!(f, "addr:{prefix}"),
            Self::Etcd(role) => write!(f, "etcd:{role}"),
            Self::Zeebe(role) => write!(f, "zeebe:{role}"),
            Self::Kubernetes(pods) => write!(f, "k8s:{pods}"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pick) = self.pick {
            write!(f, "{pick}:")?;
        }
        write!(f, "{}", self.scheme)?;
        match &self.node {
            Some(node) => write!(f, "@{node}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SelectorError {
    /// Two lines and a sentence: the text, a mark under the place, what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stop = self.at + self.length;
        let part = |part: Option<&str>| printed(part.unwrap_or_default());
        // Of a long text, what stands around the place.
        let before = end(&part(self.text.get(..self.at)), AROUND);
        let marked = beginning(&part(self.text.get(self.at..stop)), MARKED);
        let after = beginning(&part(self.text.get(stop..)), AROUND);
        let mark = "^".repeat(marked.chars().count().max(1));
        let blanks = " ".repeat(before.chars().count());
        write!(f, "{}\n\n    {before}{marked}{after}\n    {blanks}{mark}", self.kind)
    }
}

impl std::error::Error for SelectorError {}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ClusterName, ClusterPath, EtcdRole, LabelRequirement, LabelSelector, LabelTest,
        PartitionNumber, PodsBy, ZeebeRole,
    };

    fn roles() -> impl Strategy<Value = EtcdRole> {
        prop_oneof![
            Just(EtcdRole::Leader),
            Just(EtcdRole::Follower),
            Just(EtcdRole::Any),
            "[a-zA-Z0-9._-]{1,20}".prop_map(|name| EtcdRole::Member(name.parse().unwrap())),
        ]
    }

    fn zeebe_roles() -> impl Strategy<Value = ZeebeRole> {
        let partition = || (1u32..=8192).prop_map(|number| PartitionNumber::new(number).unwrap());
        prop_oneof![
            partition().prop_map(ZeebeRole::Leader),
            partition().prop_map(ZeebeRole::Follower),
            Just(ZeebeRole::AnyBroker),
            any::<u32>().prop_map(ZeebeRole::Broker),
            Just(ZeebeRole::Gateway),
        ]
    }

    fn clusters() -> impl Strategy<Value = Option<ClusterPath>> {
        let name =
            || "[a-zA-Z0-9._-]{1,20}".prop_filter_map("a word", |name| ClusterName::new(&name));
        let path = (name(), proptest::option::of(name()));
        proptest::option::of(path.prop_map(|(name, instance)| ClusterPath::new(name, instance)))
    }

    fn labels() -> impl Strategy<Value = LabelSelector> {
        let value =
            || "([a-zA-Z0-9]([a-zA-Z0-9._-]{0,20}[a-zA-Z0-9])?)?".prop_map(|v| v.parse().unwrap());
        let test = prop_oneof![
            Just(LabelTest::Exists),
            Just(LabelTest::Absent),
            value().prop_map(LabelTest::Equals),
            value().prop_map(LabelTest::Differs),
            proptest::collection::btree_set(value(), 1..4).prop_map(LabelTest::In),
            proptest::collection::btree_set(value(), 1..4).prop_map(LabelTest::NotIn),
            any::<u64>().prop_map(LabelTest::Above),
            any::<u64>().prop_map(LabelTest::Below),
        ];
        let key = "([a-z]([a-z0-9.]{0,10}[a-z])?/)?[a-zA-Z]([a-zA-Z0-9._-]{0,20}[a-zA-Z0-9])?"
            .prop_filter_map("dots that follow each other", |key| key.parse().ok());
        let requirement = (key, test).prop_map(|(key, test)| LabelRequirement { key, test });
        proptest::collection::vec(requirement, 1..4)
            .prop_map(|all| LabelSelector::new(all).unwrap())
    }

    fn pods() -> impl Strategy<Value = KubernetesPods> {
        let name = || "[a-z]([a-z0-9-]{0,20}[a-z0-9])?";
        let which = prop_oneof![
            (name(), proptest::option::of(name())).prop_map(|(pod, container)| PodsBy::Name {
                pod: pod.parse().unwrap(),
                container: container.map(|name| crate::ContainerName::new(&name).unwrap()),
            }),
            (name(), any::<Option<u32>>()).prop_map(|(name, ordinal)| PodsBy::StatefulSet {
                name: name.parse().unwrap(),
                ordinal,
            }),
            name().prop_map(|name| PodsBy::Deployment(name.parse().unwrap())),
            name().prop_map(|name| PodsBy::Service(name.parse().unwrap())),
            labels().prop_map(PodsBy::Labels),
        ];
        (name(), which).prop_map(|(namespace, which)| KubernetesPods {
            namespace: namespace.parse().unwrap(),
            which,
        })
    }

    fn selectors() -> impl Strategy<Value = Selector> {
        let scheme = prop_oneof![
            "[a-z0-9][a-zA-Z0-9._+:-]{0,20}".prop_map(Scheme::Netns),
            (1u32..=4_194_304).prop_map(Scheme::Pid),
            "[a-f0-9]{12,64}".prop_map(Scheme::Container),
            ("[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}(/[a-z0-9]{1,20})?")
                .prop_map(|path| Scheme::Pod(path.parse().unwrap())),
            "[a-z][a-z0-9.-]{0,20}".prop_map(|name| Scheme::Host(NodeName::new(&name).unwrap())),
            any::<[u8; 16]>().prop_map(|mut bytes| {
                bytes[0] = 0xfd;
                Scheme::Addr(Prefix::new(bytes, 64, None).unwrap())
            }),
            (clusters(), roles())
                .prop_map(|(cluster, role)| Scheme::Etcd(EtcdMembers { cluster, role })),
            (clusters(), zeebe_roles())
                .prop_map(|(cluster, role)| Scheme::Zeebe(ZeebeMembers { cluster, role })),
            pods().prop_map(|pods| Scheme::Kubernetes(Box::new(pods))),
        ];
        let pick = prop_oneof![
            Just(Pick::One),
            Just(Pick::All),
            (1u32..1000).prop_map(Pick::Count),
            (1u8..=100).prop_map(Pick::Percent),
        ];
        let node = proptest::option::of("[a-z][a-z0-9.-]{0,10}");
        (proptest::option::of(pick), scheme, node).prop_map(|(pick, scheme, node)| {
            let is_service =
                matches!(&scheme, Scheme::Kubernetes(pods) if pods.service().is_some());
            let pick = pick.filter(|_| !is_service && !matches!(scheme, Scheme::Addr(_)));
            let node = node.filter(|_| !is_service);
            Selector { pick, scheme, node: node.and_then(|name| NodeName::new(&name)) }
        })
    }

    proptest! {
        #[test]
        fn parsing_a_printed_selector_gives_it_back(selector in selectors()) {
            prop_assert_eq!(selector.to_string().parse(), Ok(selector));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            if let Err(error) = text.parse::<Selector>() {
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }

    #[test]
    fn errors_point_at_the_place() {
        let table = [
            ("db0", 0, 3),
            ("etc:db0", 0, 3),
            ("netns:", 6, 0),
            ("netns:a/b", 6, 3),
            ("netns:..", 6, 2),
            ("pid:0", 4, 1),
            ("pid:+1", 4, 2),
            ("one:pid:x", 8, 1),
            ("container:ab", 10, 2),
            ("pod:web-0", 4, 5),
            ("one:pod:0123456789abcdef0123456789abcdef/Web", 8, 36),
            ("netns:a@n/1", 8, 3),
            ("addr:10.0.0", 5, 6),
            ("all:addr:10.0.0.0/8", 0, 3),
            ("etcd:", 5, 0),
            ("etcd:leaders", 5, 7),
            ("etcd:Leader", 5, 6),
            ("etcd:member/", 5, 7),
            ("etcd:member/a/b", 5, 10),
            ("one:etcd:member/a b", 9, 10),
            ("etcd:ns/leaders", 5, 10),
            ("etcd:leader/leader", 5, 13),
            ("etcd:ns/a/b/leader", 5, 13),
            ("etcd:ns/a/", 5, 5),
            ("etcd:ns/", 5, 3),
            ("etcd:/leader", 5, 7),
            ("zeebe:leader", 6, 6),
            ("all:zeebe:partition/0/leader", 10, 18),
            ("k8s:", 4, 0),
            ("k8s:pod/web", 4, 7),
            ("one:k8s:prod/pods/web", 8, 13),
            ("all:k8s:prod/svc/web", 0, 3),
            ("k8s:prod/svc/web@n1", 17, 2),
            ("k8s:prod/label:app in a@n1", 4, 19),
        ];
        for (text, at, length) in table {
            let error = text.parse::<Selector>().unwrap_err();
            assert_eq!((error.at, error.length), (at, length), "{error}");
        }
    }

    #[test]
    fn members_of_etcd() {
        let member = |name: &str| EtcdRole::Member(name.parse().unwrap());
        let table = [
            ("etcd:leader", None, None, EtcdRole::Leader, None),
            ("one:etcd:follower", Some(Pick::One), None, EtcdRole::Follower, None),
            ("50%:etcd:follower@n1", Some(Pick::Percent(50)), None, EtcdRole::Follower, Some("n1")),
            ("all:etcd:member", Some(Pick::All), None, EtcdRole::Any, None),
            ("etcd:member/etcd-0", None, None, member("etcd-0"), None),
            ("etcd:member/leader", None, None, member("leader"), None),
            ("etcd:blue/leader", None, Some("blue"), EtcdRole::Leader, None),
            ("etcd:blue/member", None, Some("blue"), EtcdRole::Any, None),
            ("etcd:blue/member/m0", None, Some("blue"), member("m0"), None),
            ("etcd:prod/blue/leader", None, Some("prod/blue"), EtcdRole::Leader, None),
            ("etcd:prod/blue/member/m0", None, Some("prod/blue"), member("m0"), None),
        ];
        for (text, pick, cluster, role, node) in table {
            let cluster = cluster.map(|path| path.parse().unwrap());
            let scheme = Scheme::Etcd(EtcdMembers { cluster, role });
            let selector = Selector { pick, scheme, node: node.and_then(NodeName::new) };
            assert_eq!(text.parse(), Ok(selector.clone()));
            assert_eq!(selector.to_string(), text);
        }
        let error = "etcd:lead".parse::<Selector>().unwrap_err();
        assert!(error.kind.to_string().starts_with("of etcd there are leader, follower, member"));
    }

    #[test]
    fn what_lacks_a_scheme_is_told_what_it_most_likely_is() {
        for (text, meant) in [
            ("db0", "netns:db0"),
            ("7", "pid:7"),
            ("pod/web-0", "k8s:NAMESPACE/pod/web-0"),
            ("one:sts/web", "k8s:NAMESPACE/sts/web"),
            ("deploy/web", "k8s:NAMESPACE/deploy/web"),
            ("svc/web", "k8s:NAMESPACE/svc/web"),
            ("prod/pod/web-0", "k8s:prod/pod/web-0"),
            ("pod", "netns:pod"),
        ] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {meant}? (")), "{text}: {error}");
        }
    }

    #[test]
    fn a_mark_stands_under_the_place() {
        let error = "pid:x".parse::<Selector>().unwrap_err().to_string();
        assert!(error.ends_with("\n    pid:x\n        ^"), "{error}");
    }

    #[test]
    fn a_text_that_does_not_fit_a_line_is_shown_around_the_place() {
        let long = format!("netns:{}", "a/".repeat(5_000));
        let error = long.parse::<Selector>().unwrap_err().to_string();
        let shown = format!("\n    netns:{}a…\n          {}", "a/".repeat(19), "^".repeat(40));
        assert!(error.ends_with(&shown), "{error}");
        let error = "x".repeat(10_000).parse::<Selector>().unwrap_err().to_string();
        assert!(error.len() < 400, "{error}");
    }

    #[test]
    fn control_characters_do_not_move_the_mark() {
        let error = "netns:a\nb".parse::<Selector>().unwrap_err().to_string();
        assert!(error.ends_with("\n    netns:a\\nb\n          ^^^^"), "{error}");
        let error = "a\u{1b}[2J".parse::<Selector>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
