//! A node that is not a part of its cluster any more: nobody will ever confirm what was there.

use fault::NodeName;

use super::{Action, GRACE, Moment, PartState, Sequence, Stage};

impl Sequence {
    /// Takes in that a node is gone for good. What could not be taken out of it is owed until its lease has ended it, and
    /// by nobody after that; that it was never confirmed stays so.
    pub(super) fn removed(&mut self, node: &NodeName, now: Moment) -> Vec<Action> {
        // Before that others are waited for as well.
        if self.stage != Stage::Unconfirmed {
            return Vec::new();
        }
        let lease = self.terms.lease;
        let mut forgotten = false;
        for part in self.of_mut(node).filter(|part| part.state == PartState::Lost) {
            part.trouble = if now > part.heard + lease + GRACE {
                part.state = PartState::Ended;
                forgotten = true;
                format!(
                    "{node}: it is gone from its cluster, and the lease of what was there is over"
                )
            } else {
                format!("{node}: it is gone from its cluster; what was there ends with its lease")
            };
        }
        if !forgotten {
            return Vec::new();
        }
        // Whatever others confirm.
        self.fate = Some((Stage::Unconfirmed, self.reason().to_owned()));
        vec![Action::Record]
    }

    /// The nodes on which something may be left that was to be taken out, and could not.
    pub fn owing(&self) -> impl Iterator<Item = &NodeName> {
        self.spans.keys().filter(|node| self.owes(node))
    }
}
