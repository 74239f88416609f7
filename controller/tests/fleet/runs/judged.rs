//! What a run is told of its faults by the nodes on which they act.

use agent::fake::{Call, Trouble};
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
