//! The parts of the tale.

mod aftermath;
mod clock;
mod fleet;
mod initiator;
mod isolation;
mod kill;
mod packet;
mod partitions;
mod stop;
mod writes;

use anyhow::Result;

use crate::{balance::Balance, page::Page, scene::Scene};

/// Tells one part.
type Tell = fn(&Scene, &mut Page, &mut Balance) -> Result<()>;

/// All of them, in their order.
pub(crate) const ALL: [Tell; 9] = [
    packet::tell,
    initiator::tell,
    isolation::tell_unheard,
    isolation::tell_deaf,
    kill::tell,
    stop::tell,
    fleet::tell,
    partitions::tell,
    clock::tell,
];
