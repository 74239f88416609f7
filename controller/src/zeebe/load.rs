//! `schism zeebe load`: instances at a constant rate, whatever becomes of them.
//!
//! An instance is sent when it is its time, and what it took is counted from that time on: whoever waits for a
//! slow answer before sending the next measures only the beginning of a trouble.

mod histogram;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use zeebe::{Gateway, GatewayError, Key, NewInstance};

use crate::cli::LoadArgs;
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::output::quantity::time;
use crate::session::live::{Line, Live, Weight};

use super::contact::Contact;
use tally::{Judged, Tally};

const ATTEMPTED: &str = "cannot put load on Zeebe";

/// How often the live line is written anew.
const REDRAW: Duration = Duration::from_millis(500);

/// What became of one.
struct Answer {
    due: Instant,
    at: Instant,
    came: Result<Key, GatewayError>,
}

/// Puts it on, and tells how it was taken.
pub(crate) async fn run(
    contact: &Contact,
    args: &LoadArgs,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, ATTEMPTED, error))?;
    let planned = args.rate.within(args.total);
    if planned == 0 {
        let reason = "at this rate not one instance is sent in this time";
        return Err(Failure::caused(Cause::WrongUsage, ATTEMPTED, reason));
    }
    let (answers, mut received) = unbounded_channel();
    let sender = Sender::new(contact, args, answers);
    let mut live = Live::new(output);
    let mut tally = Tally::new(args.rate, Instant::now());
    let ended = drive(&sender, planned, &mut received, &mut tally, &mut interrupts, &live).await;
    live.clear();
    let judged = Judged { tally, may_fail: args.may_fail, ended };
    let outcome = judged.outcome();
    output.show(&judged.report(outcome))?;
    Ok(outcome)
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All of it was sent, and answered or given up.
    Whole,
    /// Somebody asked for its end.
    Interrupted,
}

/// Sends what is due, and takes in what is answered, until all is.
async fn drive(
    sender: &Sender,
    planned: u64,
    received: &mut UnboundedReceiver<Answer>,
    tally: &mut Tally,
    interrupts: &mut Interrupts,
    live: &Live,
) -> Ended {
    let began = tally.began();
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let next = tally.due();
        if next == planned && tally.under_way() == 0 {
            return Ended::Whole;
        }
        let due = began + sender.rate.due(next);
        tokio::select! {
            biased;
            _ = interrupts.next() => return Ended::Interrupted,
            () = sleep_until(due), if next < planned => {
                let now = Instant::now();
                sender.send_due(now, planned, tally);
            }
            Some(answer) = received.recv() => {
                tally.take(answer);
                // Whatever else has come, at once: waking up costs more than counting.
                while let Ok(answer) = received.try_recv() {
                    tally.take(answer);
                }
            }
            _ = redraw.tick() => live.rewrite(&line(tally)),
        }
    }
}

fn line(tally: &Tally) -> Line {
    let elapsed = time(tally.began().elapsed());
    let (succeeded, due) = (tally.succeeded(), tally.due());
    let mut line = Line::new(format!("{elapsed}  {succeeded} of {due} succeeded"));
    line.push(Weight::Aside, format!(", {} under way", tally.under_way()));
    line.push(Weight::Part, format!(", p99 {:.1} ms", tally.latency_ms(99.0)));
    line.push(Weight::Detail, format!(", p50 {:.1} ms", tally.latency_ms(50.0)));
    for (kind, count) in tally.failures() {
        line.push(Weight::Part, format!("  {kind} {count}"));
    }
    line
}

/// Sends instances, to one gateway after the other.
struct Sender {
    gateways: Vec<Gateway>,
    instance: Arc<NewInstance>,
    rate: crate::cli::Rate,
    each: Duration,
    most: u64,
    ending: Ending,
    answers: UnboundedSender<Answer>,
}

/// When an instance counts.
#[derive(Clone, Copy)]
enum Ending {
    Created,
    Completed,
}

impl Sender {
    fn new(contact: &Contact, args: &LoadArgs, answers: UnboundedSender<Answer>) -> Self {
        let instance: NewInstance = args.of.clone().into();
        Self {
            gateways: contact.gateways().to_vec(),
            instance: Arc::new(instance),
            rate: args.rate,
            each: args.each,
            most: args.in_flight.get().into(),
            ending: if args.await_result { Ending::Completed } else { Ending::Created },
            answers,
        }
    }

    /// Sends everything whose time has come.
    fn send_due(&self, now: Instant, planned: u64, tally: &mut Tally) {
        while tally.due() < planned {
            let number = tally.due();
            let due = tally.began() + self.rate.due(number);
            if due > now {
                return;
            }
            if tally.under_way() >= self.most {
                tally.withhold();
                continue;
            }
            tally.send(now - due);
            let turn = usize::try_from(number).unwrap_or_default() % self.gateways.len();
            let gateway = self.gateways[turn].clone();
            let (instance, answers) = (Arc::clone(&self.instance), self.answers.clone());
            let (each, ending) = (self.each, self.ending);
            tokio::spawn(async move {
                let came = match ending {
                    Ending::Created => gateway.create(&instance, each).await,
                    Ending::Completed => gateway.create_and_await(&instance, each).await,
                };
                let came = came.map(|instance| instance.key);
                // Nobody counts any more once it was interrupted.
                let _ = answers.send(Answer { due, at: Instant::now(), came });
            });
        }
    }
}
