//! Whose word counts on this agent. Pure: nothing here knows a fault but by its holder.
//!
//! What is heard is kept for as long as the agent runs: another agent process holds nothing that a
//! controller of the past could disturb.

use fault::{ControllerId, Holder};

/// How many controllers are remembered; the one that was heard least lately is forgotten first.
const REMEMBERED: usize = 64;

/// The highest epoch heard of each controller.
#[derive(Debug, Default)]
pub struct Holders {
    /// Latest heard last.
    heard: Vec<Holder>,
}

/// Somebody else has the say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HolderError {
    /// A later life of the same controller was heard.
    #[error("a later life of this controller has taken over (epoch {0})")]
    Superseded(u64),
    /// Faults of another controller stand.
    #[error("this agent holds faults of the controller {0}")]
    Held(ControllerId),
}

impl Holders {
    /// Notes who speaks.
    ///
    /// # Errors
    /// A higher epoch of this controller was heard before.
    pub fn hear(&mut self, asker: Option<Holder>) -> Result<(), HolderError> {
        let Some(asker) = asker else { return Ok(()) };
        let known = self.heard.iter().position(|heard| heard.controller == asker.controller);
        if let Some(at) = known {
            let heard = self.heard.remove(at);
            let highest = heard.epoch.max(asker.epoch);
            self.heard.push(Holder { epoch: highest, ..asker });
            if asker.epoch < highest {
                return Err(HolderError::Superseded(highest));
            }
        } else {
            self.heard.push(asker);
            let surplus = self.heard.len().saturating_sub(REMEMBERED);
            self.heard.drain(..surplus);
        }
        Ok(())
    }

    /// Whether `asker` may put something in, given on whose behalf what lives here stands. A command on
    /// the node itself may always: it has no holder.
    ///
    /// # Errors
    /// Somebody else has the say.
    pub fn admit(
        &mut self,
        asker: Option<Holder>,
        living: impl IntoIterator<Item = Holder>,
    ) -> Result<(), HolderError> {
        self.hear(asker)?;
        let Some(asker) = asker else { return Ok(()) };
        let other = living.into_iter().find(|holder| holder.controller != asker.controller);
        other.map_or(Ok(()), |holder| Err(HolderError::Held(holder.controller)))
    }
}

/// Whether a fault is its asker's own, whatever the epoch: of the same controller, or of nobody.
#[must_use]
pub fn is_own(asker: Option<Holder>, holder: Option<Holder>) -> bool {
    asker.map(|holder| holder.controller) == holder.map(|holder| holder.controller)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn holder(controller: u8, epoch: u64) -> Holder {
        Holder { controller: ControllerId::new([controller; 16]), epoch }
    }

    fn any_holder() -> impl Strategy<Value = Option<Holder>> {
        proptest::option::of((0u8..3, 0u64..4).prop_map(|(id, epoch)| holder(id, epoch)))
    }

    #[derive(Clone, Debug)]
    enum Act {
        Admit,
        Renew(usize),
        End(usize),
    }

    fn any_act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Admit),
            (0usize..4).prop_map(Act::Renew),
            (0usize..4).prop_map(Act::End)
        ]
    }

    proptest! {
        /// The rules as the design states them, against a plain model of who was heard and what lives.
        #[test]
        fn the_highest_epoch_is_obeyed_and_other_controllers_wait(
            acts in proptest::collection::vec((any_holder(), any_act()), 1..60),
        ) {
            let mut holders = Holders::default();
            let mut highest: BTreeMap<ControllerId, u64> = BTreeMap::new();
            let mut living: Vec<Option<Holder>> = Vec::new();
            for (asker, act) in acts {
                if let Act::End(at) = act {
                    // A heal is nobody's privilege.
                    if at < living.len() {
                        living.remove(at);
                    }
                    continue;
                }
                let superseded = asker.and_then(|asker| {
                    let highest = highest.entry(asker.controller).or_insert(asker.epoch);
                    *highest = asker.epoch.max(*highest);
                    (asker.epoch < *highest).then_some(HolderError::Superseded(*highest))
                });
                let held = asker.and_then(|asker| {
                    let mut all = living.iter().flatten().map(|holder| holder.controller);
                    all.find(|controller| *controller != asker.controller)
                });
                match act {
                    Act::Admit => {
                        let expected = superseded.or(held.map(HolderError::Held));
                        let found = holders.admit(asker, living.iter().flatten().copied());
                        prop_assert_eq!(found, expected.map_or(Ok(()), Err));
                        if found.is_ok() {
                            living.push(asker);
                        }
                    }
                    Act::Renew(at) => {
                        prop_assert_eq!(holders.hear(asker), superseded.map_or(Ok(()), Err));
                        let Some(fault) = living.get_mut(at) else { continue };
                        let same = match (asker, *fault) {
                            (Some(asker), Some(holder)) => asker.controller == holder.controller,
                            (None, None) => true,
                            (Some(_), None) | (None, Some(_)) => false,
                        };
                        prop_assert_eq!(is_own(asker, *fault), same);
                        if same && superseded.is_none() {
                            *fault = asker;
                        }
                    }
                    Act::End(_) => unreachable!("done above"),
                }
                // What lives stands on behalf of one controller at most.
                let mut controllers: Vec<_> =
                    living.iter().flatten().map(|holder| holder.controller).collect();
                controllers.dedup();
                prop_assert!(controllers.len() <= 1);
            }
        }
    }

    #[test]
    fn a_crowd_of_controllers_takes_no_more_room_than_is_given() {
        let mut holders = Holders::default();
        holders.hear(Some(holder(255, 5))).unwrap();
        for id in 0..200 {
            holders.hear(Some(holder(id, 1))).unwrap();
            let old = holders.hear(Some(holder(255, 4)));
            assert_eq!(old, Err(HolderError::Superseded(5)), "who speaks on is not forgotten");
        }
        assert_eq!(holders.heard.len(), REMEMBERED);
    }
}
