//! Who opened a TCP connection, read off what the kernel counts of its socket. Pure.

/// Who opened a flow, from the target's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// The target did.
    Local,
    /// The peer did.
    Remote,
    /// The counts are spoilt; listening ports decide.
    Unclear,
}

/// States of include/net/tcp_states.h that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpState {
    /// We called, nobody has answered.
    SynSent,
    /// We were called, and the call is not complete.
    SynReceived,
    /// Our FIN is queued or under way, not acknowledged.
    Closing,
    /// Our FIN was acknowledged.
    FinAcknowledged,
    /// Anything else that has both directions.
    Open,
    /// No connection (listening, closed) or nothing known of it (TIME_WAIT).
    None,
}

impl TcpState {
    /// Reads the number that inet_diag reports.
    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            // TCP_ESTABLISHED, TCP_CLOSE_WAIT
            1 | 8 => Self::Open,
            2 => Self::SynSent,
            // TCP_SYN_RECV, TCP_NEW_SYN_RECV
            3 | 12 => Self::SynReceived,
            // TCP_FIN_WAIT1, TCP_LAST_ACK, TCP_CLOSING
            4 | 9 | 11 => Self::Closing,
            5 => Self::FinAcknowledged,
            _ => Self::None,
        }
    }
}

/// What inet_diag counts of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// `tcpi_bytes_acked`.
    pub(super) acked: u64,
    /// `tcpi_bytes_sent`, retransmissions included.
    pub(super) sent: u64,
    /// `tcpi_bytes_retrans`.
    pub(super) resent: u64,
    /// `idiag_wqueue`: from the oldest unacknowledged byte to the last one written.
    pub(super) queued: u32,
    /// `tcpi_notsent_bytes`.
    pub(super) unsent: u32,
    /// `tcpi_unacked`, in packets.
    pub(super) unacked: u32,
}

impl Counts {
    /// Whether nothing is under way. The kernel reads all but the queue under the socket's lock, so
    /// of a socket at rest the numbers belong to one moment.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.unacked == 0 && self.unsent == 0
    }
}

/// The opener's SYN counts as an acknowledged byte and the other side's SYN does not: what was
/// acknowledged or is under way, less what was sent, is 1 for the opener and 0 for the other. A FIN that
/// was sent adds one.
pub(super) fn opener(state: TcpState, counts: Option<Counts>) -> Opener {
    match state {
        TcpState::SynSent => return Opener::Local,
        TcpState::SynReceived => return Opener::Remote,
        TcpState::None => return Opener::Unclear,
        TcpState::Closing | TcpState::FinAcknowledged | TcpState::Open => {}
    }
    let Some(counts) = counts else { return Opener::Unclear };
    let under_way =
        if counts.is_at_rest() { 0 } else { i128::from(counts.queued) - i128::from(counts.unsent) };
    let surplus = i128::from(counts.acked) + under_way
        - (i128::from(counts.sent) - i128::from(counts.resent));
    let fin = match state {
        TcpState::FinAcknowledged => 1,
        // The FIN is the last byte of the queue: it has gone out once nothing is unsent.
        TcpState::Closing if counts.unsent == 0 => 1,
        TcpState::Closing
        | TcpState::Open
        | TcpState::SynSent
        | TcpState::SynReceived
        | TcpState::None => 0,
    };
    match surplus - fin {
        0 => Opener::Remote,
        1 => Opener::Local,
        _ => Opener::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openers() {
        let counts = |acked, sent, resent, queued, unsent| {
            let unacked = u32::from(queued > unsent);
            Some(Counts { acked, sent, resent, queued, unsent, unacked })
        };
        let stale = Counts { acked: 101, sent: 100, resent: 0, queued: 70, unsent: 0, unacked: 0 };
        let table = [
            ("called, idle", TcpState::Open, counts(1, 0, 0, 0, 0), Opener::Local),
            ("was called, idle", TcpState::Open, counts(0, 0, 0, 0, 0), Opener::Remote),
            ("called, sent", TcpState::Open, counts(101, 100, 0, 0, 0), Opener::Local),
            ("was called, sent", TcpState::Open, counts(100, 100, 0, 0, 0), Opener::Remote),
            ("called, in flight", TcpState::Open, counts(51, 100, 0, 150, 100), Opener::Local),
            ("was called, in flight", TcpState::Open, counts(50, 100, 0, 150, 100), Opener::Remote),
            ("called, resent", TcpState::Open, counts(51, 180, 80, 50, 0), Opener::Local),
            ("called, FIN under way", TcpState::Closing, counts(101, 100, 0, 1, 0), Opener::Local),
            (
                "was called, FIN under way",
                TcpState::Closing,
                counts(100, 100, 0, 1, 0),
                Opener::Remote,
            ),
            (
                "called, FIN behind data",
                TcpState::Closing,
                counts(51, 100, 0, 71, 21),
                Opener::Local,
            ),
            (
                "was called, FIN acked",
                TcpState::FinAcknowledged,
                counts(101, 100, 0, 0, 0),
                Opener::Remote,
            ),
            (
                "called, FIN acked",
                TcpState::FinAcknowledged,
                counts(102, 100, 0, 0, 0),
                Opener::Local,
            ),
            (
                "called, at rest since the queue was read",
                TcpState::Open,
                Some(stale),
                Opener::Local,
            ),
            ("local drops", TcpState::Open, counts(0, 5_000, 0, 0, 0), Opener::Unclear),
            ("calling", TcpState::SynSent, None, Opener::Local),
            ("being called", TcpState::SynReceived, None, Opener::Remote),
            ("no counts", TcpState::Open, None, Opener::Unclear),
            ("listening", TcpState::None, None, Opener::Unclear),
        ];
        for (name, state, counts, expected) in table {
            assert_eq!(opener(state, counts), expected, "{name}");
        }
    }
}
