//! That something changed, for those who show how things stand: not what.

use tokio::sync::watch;

/// Cheap to clone; all clones tell of and see the same changes.
#[derive(Clone, Debug, Default)]
pub struct Changes(watch::Sender<u64>);

impl Changes {
    pub fn tell(&self) {
        self.0.send_modify(|number| *number += 1);
    }

    /// The number of the last change. What is looked at afterwards shows it.
    pub fn last(&self) -> u64 {
        *self.0.borrow()
    }

    pub fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
