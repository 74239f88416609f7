//! The same loss by nftables and by iptables with ipset, side by side in one run.

use std::io::Write as _;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::topology::{Family, Topology};

use crate::Effort;
use crate::node::{Agent, sibling};
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};

/// Datagrams of one measurement.
const BURST: u32 = 20_000;

/// Who loses the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Nobody,
    Schism,
    Nft,
    Iptables,
}

const ALL: [Means; 4] = [Means::Nobody, Means::Schism, Means::Nft, Means::Iptables];

impl Means {
    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nothing",
            Self::Schism => "schism",
            Self::Nft => "nft (netdev ingress, set)",
            Self::Iptables => "iptables + ipset (INPUT)",
        }
    }
}

/// Time to put in, cost of a lost packet, cost of a packet that passes: by each means, in turns.
pub(crate) async fn side_by_side(effort: Effort, report: &mut Report) -> Result<()> {
    let lab = Topology::hub(&["a", "b", "c"])?;
    let mut agent = Agent::start().await?;
    let mut put_in: Vec<Vec<Duration>> = vec![Vec::new(); ALL.len()];
    let mut lost: Vec<Vec<Duration>> = vec![Vec::new(); ALL.len()];
    let mut passed: Vec<Vec<Duration>> = vec![Vec::new(); ALL.len()];
    let mut parts: [Vec<Duration>; 3] = Default::default();
    for _ in 0..effort.times(60) {
        for (index, means) in ALL.into_iter().enumerate() {
            let mut held = None;
            let began = Instant::now();
            match means {
                Means::Nobody => {}
                Means::Schism => {
                    let fault = agent.fault(&lab["a"], &lab["b"]).await?;
                    let resolved = began.elapsed();
                    agent.prepare(&fault).await?;
                    let prepared = began.elapsed();
                    agent.commit(fault.id).await?;
                    parts[0].push(resolved);
                    parts[1].push(prepared - resolved);
                    parts[2].push(began.elapsed() - prepared);
                    held = Some(fault.id);
                }
                Means::Nft => nft(&lab, &nft_rules(&lab))?,
                Means::Iptables => iptables(&lab)?,
            }
            put_in[index].push(began.elapsed());
            agent.settle().await?;
            lost[index].push(burst(&lab, "a")?);
            passed[index].push(burst(&lab, "c")?);
            match means {
                Means::Nobody => {}
                Means::Schism => agent.heal(held.context("no fault")?).await?,
                Means::Nft => nft(&lab, "delete table netdev rival")?,
                Means::Iptables => iptables_off(&lab)?,
            }
        }
    }
    let at = |means: Means| ALL.iter().position(|one| *one == means).unwrap_or(0);
    let row = |of: &[Vec<Duration>], show: &dyn Fn(&Sample) -> String| {
        let named = ALL.iter().zip(of).skip(1).map(|(means, sample)| {
            format!("{} {}", means.name(), show(&Sample::new(sample.clone())))
        });
        named.collect::<Vec<_>>().join(", ")
    };
    let wins = |of: &[Vec<Duration>], value: &dyn Fn(&Sample) -> Duration| {
        let value = |means| value(&Sample::new(of[at(means)].clone()));
        value(Means::Schism) <= value(Means::Nft) && value(Means::Schism) <= value(Means::Iptables)
    };
    let median = |sample: &Sample| ms(sample.median());
    report.add(
        "time to put in, everything included",
        "ours the fastest",
        row(&put_in, &median),
        Verdict::of(wins(&put_in, &Sample::median)),
    );
    let [resolve, prepare, commit] = parts.map(|part| ms(Sample::new(part).median()));
    report.add(
        "of that, of ours",
        "",
        format!("resolve {resolve}, prepare {prepare}, commit {commit}"),
        Verdict::Shown,
    );
    let baseline = |of: &[Vec<Duration>]| Sample::new(of[at(Means::Nobody)].clone()).best();
    for (name, of) in [("lost", &lost), ("that passes", &passed)] {
        let base = baseline(of);
        let each = |sample: &Sample| {
            let per = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(BURST);
            format!("{:+.0} ns", per(sample.best()) - per(base))
        };
        report.add(
            &format!("a packet {name}, sent through the stack, against no rule"),
            "ours the cheapest",
            row(of, &each),
            Verdict::of(wins(of, &Sample::best)),
        );
    }
    Ok(())
}

/// Sends datagrams as fast as one thread can: on a veth their reception is work of the sender's CPU.
fn burst(lab: &Topology, from: &str) -> Result<Duration> {
    let to = lab["b"].socket_address(Family::V4, 9);
    let socket: UdpSocket = lab[from].udp_socket(lab[from].socket_address(Family::V4, 0))?;
    let began = Instant::now();
    for _ in 0..BURST {
        // A closed port answers with an ICMP error, which the next send reports.
        let _ = socket.send_to(&[0; 18], to);
    }
    Ok(began.elapsed())
}

fn nft_rules(lab: &Topology) -> String {
    let v4 = lab["a"].address(Family::V4);
    let v6 = lab["a"].address(Family::V6);
    format!(
        "table netdev rival {{
           set four {{ type ipv4_addr; elements = {{ {v4} }}; }}
           set six {{ type ipv6_addr; elements = {{ {v6} }}; }}
           chain loss {{
             type filter hook ingress device eth0 priority -500;
             ip saddr @four counter drop
             ip6 saddr @six counter drop
           }}
         }}"
    )
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn nft(lab: &Topology, text: &str) -> Result<()> {
    let mut command = lab["b"].namespace.exec("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start nft")?;
    // Dropped, it tells nft that this was all.
    let mut input = child.stdin.take().context("no way into nft")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn words(lab: &Topology, line: &str) -> Result<()> {
    let mut words = line.split(' ');
    let mut command = lab["b"].namespace.exec(words.next().unwrap_or_default());
    command.args(words);
    run(command)
}

fn iptables(lab: &Topology) -> Result<()> {
    let v4 = lab["a"].address(Family::V4);
    let v6 = lab["a"].address(Family::V6);
    for line in [
        "ipset create rival4 hash:ip family inet".to_owned(),
        "ipset create rival6 hash:ip family inet6".to_owned(),
        format!("ipset add rival4 {v4}"),
        format!("ipset add rival6 {v6}"),
        "iptables -I INPUT -m set --match-set rival4 src -j DROP".to_owned(),
        "ip6tables -I INPUT -m set --match-set rival6 src -j DROP".to_owned(),
    ] {
        words(lab, &line)?;
    }
    Ok(())
}

fn iptables_off(lab: &Topology) -> Result<()> {
    for line in [
        "iptables -D INPUT -m set --match-set rival4 src -j DROP",
        "ip6tables -D INPUT -m set --match-set rival6 src -j DROP",
        "ipset destroy rival4",
        "ipset destroy rival6",
    ] {
        words(lab, line)?;
    }
    Ok(())
}

/// The programs alone, by BPF_PROG_TEST_RUN: the example `cost` of agent-ebpf, a line of JSON per row.
pub(crate) fn per_packet(report: &mut Report) -> Result<()> {
    let mut cost = sibling("examples")?;
    cost.push("cost");
    let output =
        Command::new(&cost).output().with_context(|| format!("start {}", cost.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<(String, f64)> = text
        .lines()
        .filter_map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).ok()?;
            Some((row["row"].as_str()?.to_owned(), row["ns"].as_f64()?))
        })
        .collect();
    let find = |name: &str| rows.iter().find(|(row, _)| row == name).map(|(_, ns)| *ns);
    let empty = find("empty").context("no empty program among the costs")?;
    let base = rows.iter().find(|(row, _)| row.starts_with("stranger")).map_or(0.0, |(_, ns)| *ns);
    for (name, ns) in rows.iter().filter(|(row, _)| row.starts_with("stranger")) {
        let above = ns - empty;
        let ratio = above / (base - empty);
        report.add(
            &format!("packet that matches nothing ({name})"),
            "≤ 40 ns above empty, ≤ 1.3 × the first row",
            format!(
                "{above:.1} ns above an empty program ({empty:.1} ns): {ratio:.2} ×, {:.2} × of the whole",
                ns / base
            ),
            Verdict::of(above <= 40.0 && ratio <= 1.3),
        );
    }
    Ok(())
}
