//! Probes prove a cut and are never its effect.

use std::time::Duration;

use agent::kernel::{Kernel, Place, ProbeOrder};
use fault::{Cut, Protocol, State};

use crate::rig::{Rig, initiator_cut, packet_cut};

fn delivered(rig: &Rig, from: &str, to: &str, protocol: Protocol) -> u32 {
    let place = |label| {
        let target = rig.target(label);
        Place { selector: target.selector, identity: target.identity }
    };
    let order = ProbeOrder {
        from: place(from),
        to: place(to),
        protocol,
        port: None,
        count: 5,
        interval: Duration::from_millis(10),
        timeout: Duration::from_millis(200),
    };
    rig.kernel.probe(&order).unwrap().delivered
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_tell_the_directions_apart_and_are_not_effect() {
    let rig = Rig::pair();
    for (cut, protocol) in [(packet_cut(), Protocol::Udp), (initiator_cut(), Protocol::Tcp)] {
        assert_eq!(delivered(&rig, "a", "b", protocol), 5);
        // Nodes speak of themselves at times (multicast reports): only the probes' protocol is cut.
        let id = rig.cut("a", "b", Cut { protocol: Some(protocol), ..cut }).await;
        // Both ways at once, as the command sends them.
        let (there, back) = std::thread::scope(|scope| {
            let there = scope.spawn(|| delivered(&rig, "a", "b", protocol));
            let back = delivered(&rig, "b", "a", protocol);
            (there.join().unwrap(), back)
        });
        assert_eq!((there, back), (0, 5), "{protocol}");
        let healed = rig.heal(id).await;
        assert_eq!(healed.state, State::Healed);
        assert!(!healed.effect.happened(), "{protocol}: {:?}", healed.effect);
        assert!(healed.effect.probes_lost >= 5, "{protocol}: {:?}", healed.effect);
        assert_eq!(delivered(&rig, "a", "b", protocol), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_do_not_change_what_a_seed_loses() {
    let rig = Rig::pair();
    let cut = Cut { loss: "50%".parse().unwrap(), protocol: Some(Protocol::Udp), ..packet_cut() };
    let id = rig.cut("a", "b", cut).await;
    delivered(&rig, "a", "b", Protocol::Udp);
    assert_eq!(rig.heal(id).await.effect.matched, 0);
}
