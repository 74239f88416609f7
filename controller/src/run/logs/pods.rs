//! Logs of pods, as the API server tells them to the user.

use cluster::{ApiError, Instance, LogOf, LoggedContainer, LoggedPod, Name, NameError, Within};
use experiment::tolerance::pattern::Pattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stretch::{Another, Line, Mark, Stretch};
use super::{Found, LONGEST, NOW};
use crate::fleet::client::LOG;
use crate::objects::user::refused;
use crate::plugin::pods::Meant;
use crate::provider::kubernetes::{Located, Purpose};
use crate::run::faults::objects::Space;

/// Where a look at logs has ended, as the next one is given it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    pods: Vec<End>,
}

/// Of one pod.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    namespace: String,
    name: String,
    uid: String,
    containers: Vec<Ended>,
}

/// Of one container of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    container: String,
    /// Which life of it that was.
    id: String,
    mark: Mark,
}

/// From where on lines are looked at.
enum Since {
    Ever,
    Now,
    Ends(Ends),
}

/// What is asked of the API server.
struct Look<'l> {
    space: &'l Space,
    pattern: &'l Pattern,
    found: Found,
    ends: Ends,
    /// Why something may be missing, once that is so.
    missing: Option<String>,
}

/// Looks at what pods write that a text names, behind an earlier look.
///
/// # Errors
/// They are not found, or not those that were meant before; not all of it was told; or nothing was found, and what may
/// be missing.
pub(super) async fn look(
    (space, seed): (&Space, u64),
    target: &str,
    since: Option<&Value>,
    pattern: &Pattern,
) -> Result<Value, String> {
    let since = Since::read(since)?;
    let meant = Meant::of(target, &space.namespace)?;
    let found = meant.find(&space.client, (Purpose::Log, seed), LOG).await;
    let pods = found.map_err(|failure| failure.text())?;
    since.is_of(&pods)?;
    let (found, ends) = (Found::default(), Ends::default());
    let mut look = Look { space, pattern, found, ends, missing: None };
    for pod in &pods {
        look.pod(pod, meant.container(), &since).await?;
    }
    match (look.missing, &since) {
        // What was found is there, whatever else is not.
        (Some(why), Since::Ever | Since::Ends(_)) if look.found.count == 0 => {
            Err(format!("nothing was found, but something may be missing: {why}"))
        }
        (Some(_) | None, _) => {
            let ends = serde_json::to_value(look.ends).map_err(|error| error.to_string())?;
            Ok(look.found.value(ends))
        }
    }
}

impl Since {
    fn read(since: Option<&Value>) -> Result<Self, String> {
        match since {
            None | Some(Value::Null) => Ok(Self::Ever),
            Some(Value::String(now)) if now == NOW => Ok(Self::Now),
            Some(earlier) => {
                let none =
                    || "`since` is what an earlier `logs` of pods returned, or `now`".to_owned();
                let ends = earlier.get("end").map(Ends::deserialize);
                ends.and_then(Result::ok).map(Self::Ends).ok_or_else(none)
            }
        }
    }

    /// Makes sure that pods are those whose logs were looked at before: of others nobody knows what came since.
    fn is_of(&self, pods: &[Located]) -> Result<(), String> {
        let Self::Ends(ends) = self else { return Ok(()) };
        let is = |end: &End, pod: &Located| end.uid == pod.uid;
        if let Some(new) = pods.iter().find(|pod| !ends.pods.iter().any(|end| is(end, pod))) {
            let why = "is meant, which was not when its log was looked at before";
            return Err(format!("pod {} {why}", new.pod));
        }
        let is_gone = |end: &&End| !pods.iter().any(|pod| is(end, pod));
        ends.pods.iter().find(is_gone).map_or(Ok(()), |End { namespace, name, .. }| {
            let why = "is not meant any more, whose log was looked at before";
            Err(format!("pod {namespace}/{name} {why}"))
        })
    }

    /// Where the last look at a container has ended.
    fn ended(&self, pod: &LoggedPod, container: &str) -> Option<&Ended> {
        let Self::Ends(ends) = self else { return None };
        let end = ends.pods.iter().find(|end| end.uid == pod.metadata.uid)?;
        end.containers.iter().find(|ended| ended.container == container)
    }
}

impl Look<'_> {
    async fn pod(
        &mut self,
        located: &Located,
        only: Option<&str>,
        since: &Since,
    ) -> Result<(), String> {
        let place = place(located)?;
        let pod = self.get(&place, located).await?;
        let mut containers = Vec::new();
        for container in written(&pod, only) {
            let mark = match since {
                Since::Now => end(self.space, &place, container).await?,
                Since::Ever => self.news(&place, container, None).await?,
                Since::Ends(_) => {
                    let before = since.ended(&pod, &container.name);
                    self.news(&place, container, before).await?
                }
            };
            let (container, id) = (container.name.clone(), container.container_id.clone());
            containers.push(Ended { container, id, mark });
        }
        if lives(&self.get(&place, located).await?, only) != lives(&pod, only) {
            self.miss(format!("a container of pod {} was started anew meanwhile", located.pod));
        }
        let (namespace, name) = (located.pod.namespace.clone(), located.pod.name.clone());
        self.ends.pods.push(End { namespace, name, uid: located.uid.clone(), containers });
        Ok(())
    }

    async fn get(
        &self,
        (within, name): &(Within, Name),
        located: &Located,
    ) -> Result<LoggedPod, String> {
        let pod =
            self.space.client.get::<LoggedPod>(within, name).await.map_err(|error| no(&error))?;
        match pod.metadata.uid == located.uid {
            true => Ok(pod),
            false => Err(format!("pod {} was made anew just now", located.pod)),
        }
    }

    fn miss(&mut self, why: String) {
        self.missing.get_or_insert(why);
    }

    /// Looks at what is new of a container, also of the life before this one. Returned: where the next look begins.
    async fn news(
        &mut self,
        place: &(Within, Name),
        container: &LoggedContainer,
        before: Option<&Ended>,
    ) -> Result<Mark, String> {
        let whole = Mark::default();
        let Some(before) = before else {
            return self.behind(place, of(container, Instance::Current), whole).await;
        };
        if before.id == container.container_id {
            return self.behind(place, of(container, Instance::Current), before.mark.clone()).await;
        }
        let previous = container.last_state.terminated.as_ref();
        if previous.is_some_and(|previous| previous.container_id == before.id) {
            let rest = self.behind(place, of(container, Instance::Previous), before.mark.clone());
            if let Err(why) = rest.await {
                self.miss(why);
            }
        } else {
            let (name, pod) = (&container.name, &place.1);
            self.miss(format!("container {name} of pod {pod} was started anew more than once"));
        }
        self.behind(place, of(container, Instance::Current), whole).await
    }

    /// Looks at what stands behind a mark.
    async fn behind(
        &mut self,
        place: &(Within, Name),
        of: LogOf,
        before: Mark,
    ) -> Result<Mark, String> {
        let of = LogOf { since: before.since(), ..of };
        let (space, pattern, found) = (self.space, self.pattern, &mut self.found);
        let mut look = |line: &str| found.look(line, pattern).map(drop);
        let mut stretch = Stretch::behind(before.clone());
        // Of another one nothing was new by what was counted.
        if read(space, place, &of, &mut stretch, &mut look).await?.is_ok()
            && let Ok(end) = stretch.end()
        {
            return Ok(end);
        }
        let mut stretch = Stretch::after(before);
        read(space, place, &of, &mut stretch, &mut look).await?.map_err(changed)?;
        let (name, pod) = (&of.container, &place.1);
        self.miss(format!("the log of container {name} of pod {pod} was rotated or emptied since"));
        stretch.end().map_err(changed)
    }
}

/// Where the log of a container ends now.
async fn end(
    space: &Space,
    place: &(Within, Name),
    container: &LoggedContainer,
) -> Result<Mark, String> {
    let mut last = Stretch::behind(Mark::default());
    let one = LogOf { last: Some(1), ..of(container, Instance::Current) };
    read(space, place, &one, &mut last, &mut |_| Ok(())).await?.map_err(changed)?;
    let Some(since) = last.end().map_err(changed)?.since() else { return Ok(Mark::default()) };
    let mut all = Stretch::behind(Mark::default());
    let rest = LogOf { since: Some(since), ..of(container, Instance::Current) };
    read(space, place, &rest, &mut all, &mut |_| Ok(())).await?.map_err(changed)?;
    all.end().map_err(changed)
}

/// Reads a log, and looks at what of it is new.
async fn read(
    space: &Space,
    (within, pod): &(Within, Name),
    of: &LogOf,
    stretch: &mut Stretch,
    look: &mut impl FnMut(&str) -> Result<(), String>,
) -> Result<Result<(), Another>, String> {
    let opened = space.client.log(within, pod, of).await;
    let mut log = opened.map_err(|error| no(&error))?;
    while let Some(line) = log.next().await.map_err(|error| no(&error))? {
        let line = String::from_utf8_lossy(&line[..line.len().min(LONGEST)]);
        match stretch.take(line.trim_end_matches(['\n', '\r'])) {
            Ok(Line::Old) => {}
            Ok(Line::New(text)) => look(text)?,
            Err(another) => return Ok(Err(another)),
        }
    }
    Ok(Ok(()))
}

/// The containers of a pod that have written something, or may have: those that are meant, and those that begin before
/// as long as they run.
fn written<'p>(
    pod: &'p LoggedPod,
    only: Option<&'p str>,
) -> impl Iterator<Item = &'p LoggedContainer> {
    let before = pod.status.init_container_statuses.iter();
    let before = before.filter(|one| one.state.running.is_some());
    let all = pod.status.container_statuses.iter().chain(before);
    all.filter(move |one| !one.container_id.is_empty() && only.is_none_or(|only| one.name == only))
}

/// The lives of those containers.
fn lives<'p>(pod: &'p LoggedPod, only: Option<&'p str>) -> Vec<(&'p str, &'p str)> {
    written(pod, only).map(|one| (one.name.as_str(), one.container_id.as_str())).collect()
}

/// All of the log of a container.
fn of(container: &LoggedContainer, instance: Instance) -> LogOf {
    LogOf { container: container.name.clone(), instance, since: None, last: None }
}

/// Where the API server has a pod.
fn place(located: &Located) -> Result<(Within, Name), String> {
    let told = |error: NameError| format!("{LOG}: {error}");
    let namespace = located.pod.namespace.parse().map_err(told)?;
    Ok((Within::Namespace(namespace), located.pod.name.parse().map_err(told)?))
}

/// Why the API server does not tell it.
fn no(error: &ApiError) -> String {
    refused(LOG, error).text()
}

fn changed(_: Another) -> String {
    format!("{LOG}: it was another one from one moment to the next")
}

#[cfg(test)]
mod tests {
    use experiment::tolerance::pattern;
    use serde_json::json;

    use super::*;
    use crate::provider::kubernetes::mock::Living;

    const POD: &str = "/api/v1/namespaces/prod/pods/a";

    /// An API server with one pod, whose container lives its so manyth life.
    struct Estate {
        living: Living,
        space: Space,
    }

    impl Estate {
        async fn new() -> Self {
            let living = Living::default();
            let client = living.client().await;
            let space = Space { client, namespace: "prod".to_owned(), origin: None };
            let estate = Self { living, space };
            estate.lives("uid-a", 1);
            estate
        }

        fn lives(&self, uid: &str, life: u32) {
            let id = |life: u32| json!({ "containerID": format!("c://{life}") });
            let mut web = json!({
                "name": "web", "state": { "running": {} }, "lastState": { "terminated": id(life - 1) },
            });
            web["containerID"] = id(life)["containerID"].clone();
            let waiting = json!({ "name": "slow", "state": { "waiting": {} } });
            let pod = json!({
                "metadata": { "name": "a", "namespace": "prod", "uid": uid },
                "spec": { "nodeName": "n1", "hostNetwork": true, "containers": [{ "name": "web" }] },
                "status": { "phase": "Running", "containerStatuses": [web, waiting] },
            });
            self.living.put(POD, pod);
        }

        /// What is told where it is asked for like this.
        fn told(&self, more: &str, lines: &[&str]) {
            let lines: Vec<String> =
                lines.iter().map(|line| format!("2026-01-01T00:00:0{line}\n")).collect();
            let path = format!("{POD}/log?container=web&timestamps=true{more}");
            self.living.put(&path, json!(lines.concat()));
        }

        async fn look(&self, since: &Value) -> Result<Value, String> {
            let pattern = pattern::compile("lead").unwrap();
            look((&self.space, 7), "pod/a", Some(since), &pattern).await
        }

        async fn lines(&self, since: &Value) -> Value {
            self.look(since).await.unwrap()["lines"].clone()
        }
    }

    #[tokio::test]
    async fn what_is_new_is_found_once_also_over_the_next_life_of_a_container() {
        let estate = Estate::new().await;
        estate.told("", &["0.5Z a leader", "1.5Z nobody", "1.7Z she leads"]);
        let first = estate.look(&Value::Null).await.unwrap();
        assert_eq!(first["lines"], json!(["a leader", "she leads"]));
        let since = "&sinceTime=2026-01-01T00%3A00%3A01Z";
        estate.told(since, &["1.5Z nobody", "1.7Z she leads"]);
        assert_eq!(estate.lines(&first).await, json!([]));
        estate.told(since, &["1.5Z nobody", "1.7Z she leads", "1.7Z leads on", "2.5Z no"]);
        let second = estate.look(&first).await.unwrap();
        assert_eq!(second["lines"], json!(["leads on"]));
        estate.lives("uid-a", 2);
        estate.told(
            "&previous=true&sinceTime=2026-01-01T00%3A00%3A02Z",
            &["2.5Z no", "3Z last leader"],
        );
        estate.told("", &["4Z new leader"]);
        assert_eq!(estate.lines(&second).await, json!(["last leader", "new leader"]));
        estate.lives("uid-a", 4);
        estate.told("", &["6Z nobody"]);
        let why = estate.look(&second).await.unwrap_err();
        assert!(
            why.contains("something may be missing: container web of pod a was started"),
            "{why}"
        );
        // Of another pod nobody knows what came since.
        estate.lives("uid-b", 1);
        let why = estate.look(&second).await.unwrap_err();
        assert!(why.contains("pod prod/a is meant, which was not when"), "{why}");
    }

    #[tokio::test]
    async fn from_now_on_nothing_is_found_that_was_there() {
        let estate = Estate::new().await;
        estate.told("&tailLines=1", &["1.7Z she leads"]);
        let since = "&sinceTime=2026-01-01T00%3A00%3A01Z";
        estate.told(since, &["1.5Z a leader", "1.7Z she leads"]);
        let now = estate.look(&json!("now")).await.unwrap();
        assert_eq!((&now["found"], &now["count"]), (&json!(false), &json!(0)));
        estate.told(since, &["1.5Z a leader", "1.7Z she leads", "1.7Z a leader"]);
        assert_eq!(estate.look(&now).await.unwrap()["count"], 1);
        // Of one that has written nothing all is new.
        estate.told("&tailLines=1", &[]);
        let empty = estate.look(&json!("now")).await.unwrap();
        estate.told("", &["2Z first leader"]);
        assert_eq!(estate.lines(&empty).await, json!(["first leader"]));
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_said_of_a_log_that_was_rotated() {
        let estate = Estate::new().await;
        estate.told("", &["0.5Z a leader", "1.5Z nobody"]);
        let first = estate.look(&Value::Null).await.unwrap();
        let since = "&sinceTime=2026-01-01T00%3A00%3A01Z";
        estate.told(since, &["2Z nobody"]);
        let why = estate.look(&first).await.unwrap_err();
        assert!(why.contains("the log of container web of pod a was rotated or emptied"), "{why}");
        estate.told(since, &["1.5Z she leads too", "2Z another leader"]);
        assert_eq!(estate.lines(&first).await, json!(["another leader"]));
        for nonsense in [json!(5), json!({}), json!({ "end": { "targets": [] } })] {
            let why = estate.look(&nonsense).await.unwrap_err();
            assert!(why.contains("what an earlier `logs` of pods returned"), "{nonsense}: {why}");
        }
    }
}
