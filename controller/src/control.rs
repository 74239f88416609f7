//! What a controller does with what is asked of it.
//!
//! Level-triggered: a request resolves, asks the guards, writes an intent and waits for what becomes of
//! it; `driver` alone drives intents, also those of an earlier life.

mod asking;
mod calls;
mod capturing;
mod clusters;
mod disrupting;
mod driver;
mod ending;
mod handle;
mod intent;
mod kept;
mod listing;
mod past;
mod pods;
mod reading;
mod rehearsing;
mod remainder;
mod resolving;
mod seating;
mod seats;
mod services;
mod tally;
mod wall;

pub use asking::{AskError, Draft};
pub use clusters::Clusters;
pub use disrupting::{Standing, Undertaking};
pub use driver::runs::has_ended;
pub(crate) use driver::runs::told;
pub use handle::{Answer, Braked, Control, ControlError, Means, Watching};
pub use intent::{Intent, RecordError, is_over};
pub(crate) use pods::usable;
pub(crate) use reading::unread;
pub use resolving::ResolveError;
pub(crate) use resolving::pick;
pub use wall::Wall;
