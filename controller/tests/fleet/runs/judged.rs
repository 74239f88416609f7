//! What a run is told of its faults by the nodes on which they act.

use agent::fake::{Call, HOST, Trouble};
use agent::kernel::Step;

use super::*;

/// The run to its end, from its method on.
async fn ended(mut command: Command, work: &Order) -> wire::RunVerdict {
    command.answer(work).await;
    command.finish().await.run.unwrap().verdict.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_cannot_take_out_is_not_confirmed() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut command = Command::cut(&runs, 1).await;
    let work = command.until(wire::RunPhase::Method).await;
    let out = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Unload));
    fleet.nodes["b"].kernel.trouble(Trouble::errno("close", 5, out));
    let verdict = ended(command, &work).await;
    assert_eq!(verdict.exit(), wire::RunExit::Unconfirmed, "{verdict:?}");
    let written = journal(&fleet, 1).await;
    assert_eq!(written["schism"]["faults"]["the-cut"]["state"], "unconfirmed", "{written:#}");
    assert!(written["schism"]["owed"]["faults"]["the-cut"].is_string(), "{written:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_breaks_off_fails_the_run() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    for (id, why) in [(1, "gone"), (2, "healed by bob")] {
        let mut command = Command::cut(&runs, id).await;
        let work = command.until(wire::RunPhase::Method).await;
        let intent = run(&fleet, id).await.faults[0].intent;
        if why == "gone" {
            fleet.nodes["b"].kernel.node(|node| node.remove_namespace("b"));
        } else {
            let heal = fleet.control.heal(IntentId::from_random(intent), why);
            soon(heal).await.unwrap();
        }
        let over = async || controller::control::is_over(&fleet.intent(intent).await);
        until(over).await;
        let verdict = ended(command, &work).await;
        assert_eq!(verdict.exit(), wire::RunExit::Failed, "{verdict:?}");
        let reason = "the fault `the-cut` ended before its time";
        assert_eq!(verdict.reasons, [reason], "{verdict:?}");
        fleet.nodes["b"].kernel.node(|node| node.add_namespace("b", &[[10, 0, 0, 2].into()]));
    }
}

/// A skew of a process of the node a.
fn skew(name: &str, target: &str, offset: &str) -> Value {
    json!({"type": "action", "name": name, "provider": {"type": "schism", "action": "skew",
        "as": name, "effect": "optional", "arguments": {"target": target, "offset": offset,
            "for": "60s", "lease": "3s"}}})
}

fn experiment(method: Value) -> Value {
    json!({"title": "t", "description": "d", "method": method})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skew_takes_the_place_of_another_also_of_the_same_run() {
    let fleet = Fleet::of(&["a"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    fleet.nodes["a"].kernel.node(|node| node.spawn(4711, HOST, None));
    let mut second = skew("second", "pid:4711@a", "-90s");
    let refused = experiment(json!([skew("first", "pid:4711@a", "1h"), second]));
    let begun = begin(1, &beginning(&refused, Map::new()));
    let end = Command::begin(&runs, begun).await.unwrap().finish().await;
    let written: Value = serde_json::from_slice(&end.journal).unwrap();
    let error = written["run"][1]["exception"].to_string();
    assert!(error.contains("has moved"), "{written:#}");
    assert_eq!(written["schism"]["faults"].as_object().unwrap().len(), 1, "{written:#}");

    second["provider"]["arguments"]["replace"] = json!(true);
    let third = json!([skew("first", "pid:4711@a", "1h"), second]);
    let begun = begin(2, &beginning(&experiment(third), Map::new()));
    let end = Command::begin(&runs, begun).await.unwrap().finish().await;
    let written: Value = serde_json::from_slice(&end.journal).unwrap();
    let verdict = end.run.unwrap().verdict.unwrap();
    assert_eq!(verdict.exit(), wire::RunExit::Done, "{written:#}");
    let ours = &written["schism"]["faults"];
    assert_eq!(ours["first"]["state"], "ended", "{written:#}");
    let output = &written["run"][1]["output"];
    assert_eq!(output["replaced"], json!([ours["first"]["id"]]), "{written:#}");
    assert_eq!(fleet.nodes["a"].living().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_repeated_for_what_a_name_stands_for_and_says_where_it_is() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    for name in ["a", "b"] {
        fleet.nodes[name].kernel.node(|node| node.spawn(4711, HOST, None));
    }
    let mut each = skew("each", "${target}", "1h");
    each["for-each"] = json!({"name": "target", "targets": "both"});
    let mut begun = begin(1, &beginning(&experiment(json!([each])), Map::new()));
    let selectors = ["pid:4711@a", "pid:4711@b"].map(|text| {
        let selector: fault::Selector = text.parse().unwrap();
        (&selector).into()
    });
    begun.names = vec![wire::RunName { name: "both".to_owned(), selectors: selectors.to_vec() }];
    let end = Command::begin(&runs, begun).await.unwrap().finish().await;
    let written: Value = serde_json::from_slice(&end.journal).unwrap();
    for (place, node) in ["a", "b"].into_iter().enumerate() {
        let item = &written["run"][place];
        assert_eq!(item["schism"]["target"], format!("pid:4711@{node}"), "{written:#}");
        assert_eq!(item["output"]["faults"][0]["node"], node, "{written:#}");
        assert_eq!(item["output"]["ends"][0]["node"], node, "{written:#}");
    }
}
