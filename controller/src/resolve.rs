//! From names to targets, and what to say where that does not work.

use experiment::run::invocation::Concern;
use fault::{Aspect, Pod, Scheme, Selector, Target};

use crate::failure::Failure;
use crate::link::Link;
use crate::outcome::Outcome;

/// Where `ip netns` keeps its names (man 8 ip-netns).
const NAMESPACES: &str = "/run/netns";
/// How much alike two names are that may have been confused (Jaro-Winkler).
const ALIKE: f64 = 0.8;
/// How many names a hint lists.
const LISTED: usize = 8;

/// The names of this machine's network namespaces, sorted; none if there are none.
pub(crate) fn namespace_names() -> Vec<String> {
    let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// What of its targets a selector means. Where nobody says it, a process is more than its network, which may be that
/// of the whole node.
pub(crate) const fn aspect(selector: &Selector, concern: Concern) -> Aspect {
    match (concern, &selector.scheme) {
        (Concern::Network, _) => Aspect::Network,
        (Concern::Processes, _)
        | (Concern::Anything, Scheme::Pid(_) | Scheme::Container(_) | Scheme::Pod(_)) => {
            Aspect::Processes
        }
        (
            Concern::Anything,
            Scheme::Netns(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_)
            | Scheme::Kubernetes(_),
        ) => Aspect::Network,
    }
}

/// What a selector names on the agent's node, after its pick.
///
/// # Errors
/// Nothing, several without a pick, fewer than picked, or another node.
pub(crate) async fn targets(
    link: &mut Link,
    node: &str,
    selector: &Selector,
    aspect: Aspect,
    seed: u64,
) -> Result<Vec<Target>, Failure> {
    on_this_node(selector, node)?;
    let found = link.resolve(selector, aspect).await?;
    pick(selector, found, seed, &namespace_names())
}

/// Refuses what is somewhere else.
pub(crate) fn on_this_node(selector: &Selector, node: &str) -> Result<(), Failure> {
    match &selector.node {
        Some(other) if other.as_str() != node => Err(Failure::not_found(
            format!("cannot resolve {selector}"),
            format!("it is on node {other}, and this agent is node {node}"),
        )
        .hint(format!("run the command on {other}"))),
        Some(_) | None => Ok(()),
    }
}

/// Picks among what was found.
fn pick(
    selector: &Selector,
    found: Vec<Target>,
    seed: u64,
    namespaces: &[String],
) -> Result<Vec<Target>, Failure> {
    let attempted = || format!("cannot resolve {selector}");
    let count = found.len();
    if count == 0 {
        return Err(nothing(selector, namespaces));
    }
    match selector.pick {
        Some(pick) => pick.choose(found, seed).ok_or_else(|| {
            let reason = format!("it asks for {pick}, and there are only {count}");
            Failure::not_found(attempted(), reason)
        }),
        None if count == 1 => Ok(found),
        None => {
            let names: Vec<String> =
                found.iter().map(|one| format!("\n    {}", one.selector)).collect();
            let reason = format!("it names {count} targets:{}", names.concat());
            // There is enough of it; only the text says too little.
            Err(Failure::new(Outcome::WrongUsage, attempted(), reason)
                .hint(format!("write more of the name, or one:{selector}, or all:{selector}")))
        }
    }
}

/// That a selector names nothing here, with what it may have meant.
pub(crate) fn nothing(selector: &Selector, namespaces: &[String]) -> Failure {
    Failure::not_found(format!("cannot resolve {selector}"), absence(&selector.scheme))
        .hint(suggestion(&selector.scheme, namespaces))
}

fn absence(scheme: &Scheme) -> String {
    match scheme {
        Scheme::Netns(name) => format!("there is no network namespace '{name}'"),
        Scheme::Pid(pid) => format!("there is no process {pid}"),
        Scheme::Container(id) => format!("no container's id begins with {id}"),
        Scheme::Pod(Pod { uid, container: None }) => format!("no process here is in pod {uid}"),
        Scheme::Pod(Pod { uid, container: Some(name) }) => {
            format!("no process here is in the container {name} of pod {uid}")
        }
        Scheme::Host(node) => format!("this machine is not node {node}"),
        Scheme::Addr(_) => "addresses are peers, never a target".to_owned(),
        Scheme::Etcd(role) => format!("no member is {role}"),
        Scheme::Zeebe(role) => format!("no member is {role}"),
        Scheme::Kubernetes(pods) => format!("no pod is {pods}"),
    }
}

fn suggestion(scheme: &Scheme, namespaces: &[String]) -> String {
    let wanted = match scheme {
        Scheme::Netns(name) => name,
        Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => {
            return "`schism targets` lists what can be named".to_owned();
        }
        Scheme::Addr(_) => return "name a target such as netns:NAME".to_owned(),
    };
    let mut alike: Vec<(f64, &String)> = namespaces
        .iter()
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    if let Some((_, name)) = alike.first() {
        return format!("did you mean netns:{name}?");
    }
    if namespaces.is_empty() {
        return "`ip netns` knows no namespace on this machine".to_owned();
    }
    let shown: Vec<String> =
        namespaces.iter().take(LISTED).map(|name| format!("netns:{name}")).collect();
    let more = if namespaces.len() > LISTED { ", …" } else { "" };
    format!("there are {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::specimen;

    fn pick_of(selector: &str, names: &[&str], namespaces: &[&str]) -> Result<usize, String> {
        let found = |name: &&str| specimen::target(name, specimen::identity(1, None));
        let found = names.iter().map(found).collect();
        let namespaces: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
        pick(&selector.parse().unwrap(), found, 7, &namespaces)
            .map(|targets| targets.len())
            .map_err(|failure| failure.text())
    }

    #[test]
    fn picks() {
        let two = ["container:abcd1", "container:abcd2"];
        assert_eq!(pick_of("netns:a", &["netns:a"], &[]), Ok(1));
        assert_eq!(pick_of("all:container:abcd", &two, &[]), Ok(2));
        assert_eq!(pick_of("one:container:abcd", &two, &[]), Ok(1));
        let table = [
            (
                pick_of("container:abcd", &two, &[]),
                "cannot resolve container:abcd: it names 2 targets:\n    container:abcd1\n    \
                 container:abcd2\n  hint: write more of the name, or one:container:abcd, or \
                 all:container:abcd",
            ),
            (
                pick_of("3:container:abcd", &two, &[]),
                "cannot resolve 3:container:abcd: it asks for 3, and there are only 2",
            ),
            (
                pick_of("netns:db", &[], &["web", "db0"]),
                "cannot resolve netns:db: there is no network namespace 'db'\n  hint: did you \
                 mean netns:db0?",
            ),
            (
                pick_of("netns:x", &[], &["web", "db0"]),
                "cannot resolve netns:x: there is no network namespace 'x'\n  hint: there are \
                 netns:web, netns:db0",
            ),
            (
                pick_of("pid:7", &[], &[]),
                "cannot resolve pid:7: there is no process 7\n  hint: `schism targets` lists what \
                 can be named",
            ),
        ];
        for (found, expected) in table {
            assert_eq!(found, Err(expected.to_owned()));
        }
    }

    #[test]
    fn another_node_is_refused() {
        let selector: Selector = "netns:a@n2".parse().unwrap();
        assert_eq!(on_this_node(&selector, "n1").unwrap_err().outcome, Outcome::Unconfirmed);
        assert_eq!(on_this_node(&selector, "n2"), Ok(()));
    }
}
