//! Holders on the wire.

use fault::{ControllerId, Holder};

use crate::Invalid;
use crate::agent as wire;
use crate::name_wire::sixteen;

impl From<Holder> for wire::Holder {
    fn from(holder: Holder) -> Self {
        Self { controller: holder.controller.get().to_vec().into(), epoch: holder.epoch }
    }
}

impl TryFrom<wire::Holder> for Holder {
    type Error = Invalid;

    fn try_from(holder: wire::Holder) -> Result<Self, Invalid> {
        let controller = sixteen(&holder.controller, "controller")?;
        Ok(Self { controller: ControllerId::new(controller), epoch: holder.epoch })
    }
}
