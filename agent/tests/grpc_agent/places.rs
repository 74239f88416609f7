//! A controller's name has several addresses, and behind each may be another controller.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::uplink::{self, Stop, Uplink};
use fault::{ControllerId, Holder};
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use proto::agent::error_detail::Kind as Detail;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use crate::rig::{Rig, about, detail};
use crate::uplink::{client, patiently, yes};

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

const FIRST: Holder = Holder { controller: ControllerId::new([1; 16]), epoch: 5 };
const SECOND: Holder = Holder { epoch: 6, ..FIRST };

/// Longer than anything takes that an agent does again and again.
const LONG: Duration = Duration::from_secs(50);

#[derive(Default)]
struct Known {
    named: BTreeSet<IpAddr>,
    listening: BTreeMap<IpAddr, mpsc::UnboundedSender<DuplexStream>>,
}

/// Addresses, and an agent that knows their name.
struct Town {
    known: Arc<Mutex<Known>>,
    _stop: watch::Sender<bool>,
}

/// Who listens at an address.
struct House(mpsc::UnboundedReceiver<DuplexStream>);

impl Town {
    fn of(rig: &Rig, named: &[[u8; 4]]) -> Self {
        let known: Arc<Mutex<Known>> = Arc::default();
        known.lock().unwrap().named = named.iter().map(|one| (*one).into()).collect();
        let (to_resolve, to_dial) = (Arc::clone(&known), Arc::clone(&known));
        let resolve = move || {
            let named = to_resolve.lock().unwrap().named.clone();
            async move { Ok(named) }
        };
        let dial = move |at: IpAddr| {
            let listens = to_dial.lock().unwrap().listening.get(&at).cloned();
            async move {
                let (here, there) = tokio::io::duplex(1 << 16);
                let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
                listens.ok_or_else(refused)?.send(there).map_err(|_| refused())?;
                Ok::<_, io::Error>(here)
            }
        };
        let uplink = Uplink::new(rig.agent.clone(), about());
        let (stop, asked) = Stop::new();
        tokio::spawn(uplink::everywhere(uplink, resolve, dial, asked));
        Self { known, _stop: stop }
    }

    fn listen(&self, at: [u8; 4]) -> House {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.known.lock().unwrap().listening.insert(at.into(), sender);
        House(receiver)
    }

    fn name(&self, named: &[[u8; 4]]) {
        self.known.lock().unwrap().named = named.iter().map(|one| (*one).into()).collect();
    }
}

impl House {
    async fn welcome(&mut self, holder: Holder) -> DuplexStream {
        let mut stream = patiently(self.0.recv()).await.unwrap();
        let _: wire::Hello = patiently(link::read(&mut stream)).await.unwrap();
        link::write(&mut stream, &yes(holder)).await.unwrap();
        stream
    }

    async fn accept(&mut self, holder: Holder) -> AgentClient<Channel> {
        client(self.welcome(holder).await).await
    }

    async fn is_left_alone(&mut self) -> bool {
        timeout(LONG, self.0.recv()).await.is_err()
    }
}

async fn answers(client: &mut AgentClient<Channel>) {
    patiently(client.describe(wire::DescribeRequest {})).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_next_is_found_within_three_seconds_also_while_the_last_one_hangs() {
    let rig = Rig::frozen().await;
    let town = Town::of(&rig, &[A, B]);
    let mut first = town.listen(A).accept(FIRST).await;
    answers(&mut first).await;
    // By now it is long ago that anything changed.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let (mut there, begun) = (town.listen(B), Instant::now());
    let mut second = there.accept(SECOND).await;
    assert!(begun.elapsed() <= Duration::from_secs(3), "after {:?}", begun.elapsed());
    answers(&mut second).await;
    answers(&mut first).await;
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let request = wire::PrepareRequest { faults, dry_run: false, holder: Some(FIRST.into()) };
    let refused = first.prepare(request).await.unwrap_err();
    assert_eq!(detail(&refused), Detail::Superseded(wire::Superseded { by_epoch: 6 }));
}

#[tokio::test]
async fn while_faults_stand_it_is_found_within_a_second() {
    let rig = Rig::frozen().await;
    rig.begin(&rig.cut(1, "netns:a", "netns:b")).await;
    // Threads have put it in, for which time that stands still would not wait.
    tokio::time::pause();
    let town = Town::of(&rig, &[A, B]);
    let mut first = town.listen(A).accept(FIRST).await;
    tokio::time::sleep(LONG).await;
    let (mut there, begun) = (town.listen(B), Instant::now());
    let mut second = there.accept(SECOND).await;
    assert!(begun.elapsed() <= Duration::from_secs(1), "after {:?}", begun.elapsed());
    answers(&mut second).await;
    answers(&mut first).await;
}

#[tokio::test(start_paused = true)]
async fn when_the_last_one_is_lost_the_next_is_found_within_a_second() {
    let rig = Rig::frozen().await;
    let town = Town::of(&rig, &[A, B]);
    let mut first = town.listen(A).accept(FIRST).await;
    answers(&mut first).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let mut there = town.listen(B);
    drop(first);
    let begun = Instant::now();
    let mut second = there.accept(SECOND).await;
    assert!(begun.elapsed() <= Duration::from_secs(1), "after {:?}", begun.elapsed());
    answers(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn one_controller_has_one_connection_however_many_addresses_it_has() {
    let rig = Rig::frozen().await;
    let town = Town::of(&rig, &[A]);
    let (mut a, mut b) = (town.listen(A), town.listen(B));
    let mut client = a.accept(FIRST).await;
    answers(&mut client).await;
    town.name(&[A, B]);
    let mut twice = b.welcome(FIRST).await;
    assert_eq!(patiently(twice.read(&mut [0; 64])).await.unwrap(), 0, "it is let go of");
    assert!(b.is_left_alone().await);
    answers(&mut client).await;
    // By whichever address it is reached next.
    drop((client, a));
    let mut client = b.accept(FIRST).await;
    answers(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_named_no_more_is_dialled_no_more_and_served_to_its_end() {
    let rig = Rig::frozen().await;
    let town = Town::of(&rig, &[A]);
    let mut a = town.listen(A);
    let mut client = a.accept(FIRST).await;
    town.name(&[B]);
    let mut second = town.listen(B).accept(SECOND).await;
    tokio::time::sleep(LONG).await;
    answers(&mut client).await;
    town.name(&[]);
    tokio::time::sleep(LONG).await;
    answers(&mut second).await;
    town.name(&[B]);
    drop(client);
    assert!(a.is_left_alone().await);
}
