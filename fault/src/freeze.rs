//! The freeze: the processes of a target stand still, and go on.

use serde::Serialize;

use crate::Extent;

/// What a freeze does. It ends by itself, like everything else: whoever holds the processes is ended by the
/// kernel then, and they go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Freeze {
    /// Whose processes.
    pub extent: Extent,
}
