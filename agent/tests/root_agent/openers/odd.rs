//! Connections that are rare: crossed calls, four-tuples used again, full windows and busy flows.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fault::{Chance, Cut, Protocol, Side};
use lab::topology::Family;
use socket2::{SockRef, Socket};

use super::call::{
    Call, End, LIMIT, PATIENCE, all_heard, await_state, dial, heal_sure, listener, socket,
    socket_state, told_apart,
};
use crate::rig::{Rig, initiator_cut, packet_cut};

const PORT: u16 = 7400;

/// A caller that is on its way: the call goes on by itself.
fn calling(rig: &Rig, end: End, family: Family, ports: (u16, u16)) -> Socket {
    let node = end.node(rig);
    let caller = socket(node, node.socket_address(family, ports.0)).unwrap();
    caller.set_nonblocking(true).unwrap();
    let to = end.other().node(rig).socket_address(family, ports.1);
    let begun = caller.connect(&to.into()).unwrap_err();
    assert_eq!(begun.raw_os_error(), Some(libc::EINPROGRESS));
    caller
}

/// Waits until a call has got through.
fn connected(rig: &Rig, end: End, family: Family, ports: (u16, u16), caller: Socket) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match socket_state(end.node(rig), family, ports) {
            (1, _) => break,
            state => assert!(Instant::now() < deadline, "{end:?} is still in {state:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    caller.set_nonblocking(false).unwrap();
    caller.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simultaneous_open_passes_since_the_other_side_opened_it_too() {
    let rig = Rig::pair();
    for family in Family::ALL {
        // During the cut: a's SYN is lost, and b's finds a calling.
        let id = rig.cut("a", "b", initiator_cut()).await;
        let (at_a, at_b) = (PORT, PORT + 1);
        let a = calling(&rig, End::A, family, (at_a, at_b));
        let b = calling(&rig, End::B, family, (at_b, at_a));
        let a = connected(&rig, End::A, family, (at_a, at_b), a);
        let b = connected(&rig, End::B, family, (at_b, at_a), b);
        let mut calls = [Call::new(End::B, "crossed during the cut", b, a)];
        told_apart(&mut calls, "both opened");
        let effect = heal_sure(&rig, id, "crossed during the cut").await;
        assert!(effect.matched >= 1, "a's own SYN: {effect:?}");

        // Before the cut: a's first SYN is lost by another cut, so that they cross.
        let id = rig.cut("a", "b", packet_cut()).await;
        let (at_a, at_b) = (PORT + 2, PORT + 3);
        let a = calling(&rig, End::A, family, (at_a, at_b));
        rig.heal(id).await;
        let b = calling(&rig, End::B, family, (at_b, at_a));
        let a = connected(&rig, End::A, family, (at_a, at_b), a);
        let b = connected(&rig, End::B, family, (at_b, at_a), b);
        // Of TCP only: a's reports of its multicast groups (RFC 3810) are a's, too.
        let cut = Cut { protocol: Some(Protocol::Tcp), ..initiator_cut() };
        let id = rig.cut("a", "b", cut).await;
        let mut calls = [Call::new(End::B, "crossed before the cut", b, a)];
        told_apart(&mut calls, "both opened");
        let effect = rig.heal(id).await.effect;
        assert_eq!((effect.matched, effect.opener_guessed, effect.opener_unknown), (0, 0, 0));
        assert!(effect.other_opener > 0, "{effect:?}");
    }
}

/// Ends a connection at both ends, from b, with a reset, which the cut lets pass.
fn reset(rig: &Rig, call: Call) {
    let ports = (call.a.local_addr().unwrap().port(), call.a.peer_addr().unwrap().port());
    SockRef::from(&call.b).set_linger(Some(Duration::ZERO)).unwrap();
    let Call { a, b, .. } = call;
    drop(b);
    a.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = (&a).read(&mut [0; 64]);
    assert!(
        matches!(&ended, Err(error) if error.kind() == io::ErrorKind::ConnectionReset),
        "{ports:?} of {}: {ended:?}",
        End::A.node(rig).label
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_four_tuple_belongs_to_who_opened_it_last() {
    let rig = Rig::pair();
    for (side, family) in [(Side::Ingress, Family::V6), (Side::Egress, Family::V4)] {
        let context = format!("{side} {family:?}");
        let port = PORT + if side == Side::Egress { 10 } else { 0 };
        // Both ends listen at both ports, so that each can be called at the one that it called from.
        let at_a = [port, port + 1].map(|port| listener(End::A, &rig, family, port));
        let at_b = [port, port + 1].map(|port| listener(End::B, &rig, family, port));
        let mut calls = [
            Call::open(&rig, End::A, port, &at_b[..1], "first"),
            Call::open(&rig, End::B, port + 1, &at_a[1..], "first"),
        ];
        all_heard(&mut calls, &context);
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        told_apart(&mut calls, &context);
        for call in calls {
            reset(&rig, call);
        }
        let mut again = [Call::open(&rig, End::B, port, &at_a[..1], "again, the other way")];
        told_apart(&mut again, &context);
        let to_b = at_b[1].local_addr().unwrap();
        let refused = dial(&rig, End::A, port + 1, to_b, LIMIT).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{context}");
        heal_sure(&rig, id, &context).await;
    }
}

/// Writes until the window and the buffers are full; the bytes that were taken.
fn fill(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut taken = 0;
    let full = loop {
        match (&*stream).write(&[0; 16_384]) {
            Ok(length) => taken += length,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_flight_and_retransmissions_do_not_hide_the_opener() {
    let rig = Rig::pair();
    for family in Family::ALL {
        let context = format!("{family:?}");
        let at_a = [listener(End::A, &rig, family, PORT)];
        let at_b = [listener(End::B, &rig, family, PORT)];
        let calls = [
            Call::open(&rig, End::A, 0, &at_b, "full"),
            Call::open(&rig, End::B, 0, &at_a, "full"),
        ];
        // No acknowledgement comes back: b has data in flight, data behind it, and sends again.
        let stalled = rig.cut("a", "b", packet_cut()).await;
        let sent = calls.each_ref().map(|call| fill(&call.b));
        for call in &calls {
            await_state(&rig, family, call, End::B, |(_, retransmissions)| retransmissions > 0);
        }
        let id = rig.cut("a", "b", initiator_cut()).await;
        rig.heal(stalled).await;
        // In b's call everything arrives, and an answer too.
        let [mut of_a, of_b] = calls;
        let mut all = vec![0; sent[1]];
        of_b.a.set_read_timeout(Some(PATIENCE)).unwrap();
        (&of_b.a).read_exact(&mut all).unwrap();
        told_apart(&mut [of_b], &context);
        // In a's call nothing that a says arrives.
        assert!(!of_a.passes(End::A, LIMIT), "{context}");
        heal_sure(&rig, id, &context).await;
    }
}

/// Writes small pieces all the time and counts what arrives, until it is told to stop.
fn busy(call: &Call, stop: &AtomicBool, arrived: [&AtomicU64; 2]) {
    std::thread::scope(|scope| {
        for (end, count) in End::BOTH.into_iter().zip(arrived) {
            let (mut reader, mut writer) = (call.end(end), call.end(end.other()));
            // Both calls return now and then, to look whether it is time to stop.
            let pause = Some(Duration::from_millis(20));
            reader.set_read_timeout(pause).unwrap();
            writer.set_write_timeout(pause).unwrap();
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A full window is what a cut leads to.
                    let _ = writer.write(&[0; 700]);
                    std::thread::sleep(Duration::from_micros(10));
                }
            });
            scope.spawn(move || {
                let mut piece = [0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    let length = reader.read(&mut piece).unwrap_or(0);
                    count.fetch_add(length as u64, Ordering::Relaxed);
                }
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_flows_are_told_apart_every_time() {
    let rig = Rig::pair();
    let family = Family::V4;
    let at_a = [listener(End::A, &rig, family, PORT)];
    let at_b = [listener(End::B, &rig, family, PORT)];
    let calls =
        [Call::open(&rig, End::A, 0, &at_b, "busy"), Call::open(&rig, End::B, 0, &at_a, "busy")];
    // Without listeners nothing can be guessed: an opener that is unclear shows as unknown.
    drop((at_a, at_b));
    let stop = AtomicBool::new(false);
    let counts: [[AtomicU64; 2]; 2] = Default::default();
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for (call, counts) in calls.iter().zip(&counts) {
            let stop = &stop;
            scope.spawn(move || busy(call, stop, counts.each_ref()));
        }
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| runtime.block_on(cut_often(&rig, &counts)));
        }));
        stop.store(true, Ordering::Relaxed);
        judged.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Cuts again and again, with and without loss before, and looks at whose flow goes on: the first
/// is a's.
async fn cut_often(rig: &Rig, counts: &[[AtomicU64; 2]; 2]) {
    // What of a's arrives at b.
    let progress = |at: usize| counts[at][1].load(Ordering::Relaxed);
    for round in 0..4 {
        let lossy = Cut { loss: "20%".parse::<Chance>().unwrap(), seed: round, ..packet_cut() };
        let lossy = if round % 2 == 1 { Some(rig.cut("a", "b", lossy).await) } else { None };
        // All flows are under way.
        let before = [progress(0), progress(1)];
        awaited(|| progress(0) > before[0] && progress(1) > before[1], round);
        let side = if round < 2 { Side::Ingress } else { Side::Egress };
        let id = rig.cut("a", "b", Cut { side, ..initiator_cut() }).await;
        if let Some(lossy) = lossy {
            rig.heal(lossy).await;
        }
        // a's flow stands still as soon as what was in b's buffers is read; b's does not.
        awaited(|| stands_still(|| progress(0)), round);
        let before = progress(1);
        awaited(|| progress(1) > before, round);
        heal_sure(rig, id, &format!("round {round}")).await;
    }
}

fn stands_still(progress: impl Fn() -> u64) -> bool {
    let before = progress();
    std::thread::sleep(LIMIT);
    progress() == before
}

fn awaited(done: impl Fn() -> bool, round: u64) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "round {round}: still not so");
        std::thread::sleep(Duration::from_millis(5));
    }
}
