//! The trigger API, in our words.

pub mod token;
pub mod wire;
