//! What becomes of objects, with good luck and bad.

use cluster::{Event, Pod, Selection, Watch, Within};

use crate::mock::{Asked, SOON, Said, list, pod, serve, status, stream};

fn line(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn bookmark(version: u32) -> String {
    line("BOOKMARK", &format!(r#"{{"kind":"Pod","metadata":{{"resourceVersion":"{version}"}}}}"#))
}

/// What it tells next, in a word.
async fn next(watch: &mut Watch<Pod>) -> String {
    match tokio::time::timeout(SOON, watch.next()).await.unwrap() {
        Event::Listed(pods) => {
            let names: Vec<String> = pods.into_iter().map(|pod| pod.metadata.name).collect();
            format!("listed {}", names.join(","))
        }
        Event::Applied(pod) => format!("applied {}", pod.metadata.name),
        Event::Deleted(pod) => format!("deleted {}", pod.metadata.name),
        Event::Trouble(error) => format!("trouble {error}"),
    }
}

async fn told<const N: usize>(
    script: impl Fn(usize, &Asked) -> Said + Send + Sync + 'static,
) -> ([String; N], Vec<String>) {
    let (client, record) = serve(script).await;
    let mut watch = client.watch(Within::Cluster, Selection::labels("app=web"));
    let mut told = Vec::new();
    for _ in 0..N {
        told.push(next(&mut watch).await);
    }
    let lines = record.lock().unwrap().iter().map(|asked| asked.line.clone()).collect();
    (told.try_into().unwrap(), lines)
}

/// From where a watch goes on.
fn since(line: &str) -> Option<&str> {
    line.split(['?', '&']).find_map(|part| part.strip_prefix("resourceVersion="))
}

#[tokio::test]
async fn all_are_listed_and_then_told_one_by_one() {
    let (told, lines) = told::<5>(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[pod("a", 1)])),
        1 => Said::Bytes(
            [
                stream(&[
                    line("ADDED", &pod("b", 6)),
                    // Two in one chunk, and one in two.
                    line("MODIFIED", &pod("b", 7)) + &bookmark(9),
                    "{\"type\":\"DEL".to_owned(),
                    format!("ETED\",\"object\":{}}}\n", pod("a", 10)),
                ]),
                b"0\r\n\r\n".to_vec(),
            ]
            .concat(),
        ),
        _ => Said::Hang(stream(&[line("ADDED", &pod("c", 11))])),
    })
    .await;
    assert_eq!(told, ["listed a", "applied b", "applied b", "deleted a", "applied c"]);
    assert!(lines[0].contains("labelSelector=app%3Dweb"), "{}", lines[0]);
    for part in ["watch=true", "allowWatchBookmarks=true", "labelSelector=app%3Dweb"] {
        assert!(lines[1].contains(part), "{}", lines[1]);
    }
    // The end of a watch is no news, and the next goes on where it ended.
    assert_eq!((since(&lines[1]), since(&lines[2])), (Some("5"), Some("10")));
}

#[tokio::test]
async fn it_is_current_while_it_is_open_but_for_its_first_moments() {
    let (client, _) = serve(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[])),
        1 => {
            let end = b"0\r\n\r\n".to_vec();
            Said::Bytes([stream(&[line("ADDED", &pod("a", 6))]), end].concat())
        }
        _ => Said::Hang(stream(&[line("ADDED", &pod("b", 7))])),
    })
    .await;
    let mut watch: Watch<Pod> = client.watch(Within::Cluster, Selection::default());
    let pulse = watch.pulse();
    assert!(!pulse.is_current());
    let told = [next(&mut watch).await, next(&mut watch).await];
    assert_eq!(told, ["listed ", "applied a"]);
    assert!(!pulse.is_current(), "more may be on its way");
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    tokio::time::resume();
    assert!(pulse.is_current());
    // It ends, and is opened anew.
    assert_eq!(next(&mut watch).await, "applied b");
    assert!(!pulse.is_current());
}

#[tokio::test]
async fn one_that_breaks_in_the_middle_of_a_line_goes_on_before_it() {
    let (told, lines) = told::<4>(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[])),
        1 => Said::Bytes(stream(&[
            line("ADDED", &pod("a", 6)),
            bookmark(8),
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"ha".to_owned(),
        ])),
        _ => Said::Hang(stream(&[line("ADDED", &pod("half", 9))])),
    })
    .await;
    assert_eq!((told[0].as_str(), told[1].as_str()), ("listed ", "applied a"));
    assert!(told[2].starts_with("trouble cannot watch pods: the answer"), "{}", told[2]);
    assert_eq!(told[3], "applied half");
    assert_eq!(since(&lines[2]), Some("8"));
}

#[tokio::test]
async fn what_is_not_known_any_more_is_listed_anew() {
    for as_a_line in [true, false] {
        let (told, lines) = told::<3>(move |number, asked| match number {
            0 => Said::Answer(200, list(5, "", &[pod("a", 1)])),
            1 if as_a_line => {
                Said::Hang(stream(&[line("ERROR", &status(410, "Expired", "too old"))]))
            }
            1 => Said::Answer(410, status(410, "Expired", "too old")),
            _ if asked.line.contains("watch=true") => {
                Said::Hang(stream(&[line("ADDED", &pod("c", 21))]))
            }
            _ => Said::Answer(200, list(20, "", &[pod("b", 20)])),
        })
        .await;
        assert_eq!(told, ["listed a", "listed b", "applied c"]);
        assert_eq!(since(&lines[3]), Some("20"));
    }
}

#[tokio::test]
async fn nonsense_is_trouble_and_everything_is_listed_anew() {
    for nonsense in
        ["\n", "nonsense\n", "{\"type\":\"DREAMED\",\"object\":{}}\n", "{\"type\":\"ADDED\"}\n"]
    {
        let (told, _) = told::<3>(move |number, _| match number {
            1 => Said::Hang(stream(&[nonsense.to_owned()])),
            _ => Said::Answer(200, list(5, "", &[])),
        })
        .await;
        assert_eq!((told[0].as_str(), told[2].as_str()), ("listed ", "listed "), "{nonsense}");
        assert!(told[1].contains("not an answer of an API server"), "{}", told[1]);
    }
}

#[tokio::test]
async fn an_api_server_that_is_away_is_trouble_until_it_is_back() {
    let (told, _) = told::<4>(|number, _| match number {
        0 | 1 => Said::Answer(500, status(500, "InternalError", "no etcd")),
        2 => Said::Answer(200, list(5, "", &[pod("a", 1)])),
        _ => Said::Answer(503, String::new()),
    })
    .await;
    assert!(told[0].contains("no etcd") && told[1].contains("no etcd"), "{told:?}");
    assert_eq!(told[2], "listed a");
    assert!(told[3].starts_with("trouble cannot watch pods"), "{}", told[3]);
}

#[tokio::test]
async fn a_line_without_an_end_is_given_up() {
    let (told, _) = told::<2>(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[])),
        _ => Said::Endless,
    })
    .await;
    assert!(told[1].contains("longer than 8388608 bytes"), "{}", told[1]);
}

#[tokio::test]
async fn a_call_that_is_dropped_loses_nothing() {
    let (client, _) = serve(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[])),
        _ => Said::Hang(stream(&[
            line("ADDED", &pod("a", 6)),
            "{\"type\":\"ADDED\",".to_owned(),
            format!("\"object\":{}}}\n", pod("b", 7)),
        ])),
    })
    .await;
    let mut watch: Watch<Pod> = client.watch(Within::Cluster, Selection::default());
    let mut told = vec![next(&mut watch).await, next(&mut watch).await];
    while told.len() < 3 {
        // It is dropped in the middle of a line, again and again.
        tokio::select! {
            biased;
            event = watch.next() => told.push(format!("{event:?}")),
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => {}
        }
    }
    assert_eq!(told[..2], ["listed ", "applied a"]);
    assert!(told[2].contains("\"b\""), "{told:?}");
}

#[tokio::test]
async fn of_each_object_is_kept_what_is_asked_for() {
    let (client, _) = serve(|number, _| match number {
        0 => Said::Answer(200, list(0, "more", &[pod("a", 1)])),
        1 => Said::Answer(200, list(5, "", &[pod("b", 2)])),
        _ => Said::Hang(stream(&[line("ADDED", &pod("c", 6)), line("DELETED", &pod("c", 7))])),
    })
    .await;
    let watch: Watch<Pod> = client.watch(Within::Cluster, Selection::default());
    let mut watch = watch.keeping(|mut pod| {
        pod.metadata.name.push('!');
        pod
    });
    let told = [next(&mut watch).await, next(&mut watch).await, next(&mut watch).await];
    assert_eq!(told, ["listed a!,b!", "applied c!", "deleted c!"]);
}

#[tokio::test]
async fn one_that_is_too_busy_is_watched_again_when_it_says() {
    let (client, _) = serve(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[])),
        1 => Said::With(429, "retry-after: 1", status(429, "TooManyRequests", "busy")),
        _ => Said::Hang(stream(&[line("ADDED", &pod("a", 6))])),
    })
    .await;
    let mut watch: Watch<Pod> = client.watch(Within::Cluster, Selection::default());
    assert_eq!(next(&mut watch).await, "listed ");
    assert!(next(&mut watch).await.contains("busy"));
    let told = std::time::Instant::now();
    assert_eq!(next(&mut watch).await, "applied a");
    assert!(told.elapsed() >= std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn what_cannot_be_watched_is_listed_again_and_again() {
    let (client, _) = serve(|number, asked| match number {
        0 => Said::Answer(200, list(5, "", &[pod("a", 1)])),
        _ if asked.line.contains("watch=true") => Said::Answer(403, status(403, "Forbidden", "no")),
        _ => Said::Answer(200, list(9, "", &[pod("b", 8)])),
    })
    .await;
    let mut watch: Watch<Pod> = client.watch(Within::Cluster, Selection::default());
    assert_eq!(next(&mut watch).await, "listed a");
    for _ in 0..2 {
        assert!(next(&mut watch).await.starts_with("trouble"), "what was listed is not old yet");
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(16)).await;
        tokio::time::resume();
        assert!(next(&mut watch).await.starts_with("trouble"));
        assert_eq!(next(&mut watch).await, "listed b");
    }
    assert!(!watch.pulse().is_current());
}

#[tokio::test]
async fn one_on_which_nothing_comes_any_more_is_begun_anew_without_a_word() {
    let (client, record) = serve(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[])),
        1 => Said::Hang(stream(&[line("ADDED", &pod("a", 6))])),
        _ => Said::Hang(stream(&[line("ADDED", &pod("b", 7))])),
    })
    .await;
    let mut watch: Watch<Pod> = client.watch(Within::Cluster, Selection::default());
    assert_eq!([next(&mut watch).await, next(&mut watch).await], ["listed ", "applied a"]);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(91)).await;
    tokio::time::resume();
    assert_eq!(next(&mut watch).await, "applied b");
    assert_eq!(since(&record.lock().unwrap()[2].line), Some("6"));
}
