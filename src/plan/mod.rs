//! When it happens, and what becomes of it: pure functions and one state machine.
//! Nothing here does I/O, is async or asks for the time: `now` is an argument.

pub mod agenda;
pub mod alert;
pub mod breaker;
pub mod catch_up;
pub mod ceilings;
pub mod delivery;
pub mod expiry;
pub mod fact;
pub mod follow;
pub mod jitter;
pub mod limits;
pub mod occurrence;
pub mod outcome;
pub mod ownership;
pub mod pause;
pub mod redeliver;
pub mod remembered;
pub mod retry;
pub mod run;
pub mod window;

/// A map of names and keys that are our own: nobody chooses them to collide.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
