//! triggerd wakes ChatGPT Workspace Agents on schedule: files in, triggers out, each acceptance logged.
//!
//! ```text
//! schedules/*.toml ─ watch, load ─► catalog ─► agenda ─► ledger ─► attempt ─► API
//!                      (shell)     (shell)     (pure)   (shell)   (shell)     │
//!                                                ▲         │                  │
//!                                                │         ▼                  │
//!                                                │    log, once durable       │
//!                                                └──────── answer ◄───────────┘
//! ```
//!
//! Data flows one way: the agenda decides and states facts, the ledger makes them durable, and only
//! then are they acted on and told. An answer is one more thing that happens to the agenda.
//!
//! 1. The core decides, the shell does. The core ([`schedule`], [`plan`]) has no I/O, no async, no
//!    clock and no randomness: `now` is an argument.
//! 2. The ledger is written before the call and after the answer. What is not in the ledger did not
//!    happen.
//! 3. A delivery keeps one idempotency key for ever: over retries, restarts and crashes.
//! 4. A broken file never stops a good one: each file stands alone, the last valid version stays in
//!    force, and it is said loudly.
//! 5. A ledger that cannot be read stops the start. It is never replaced by an empty one. One that
//!    cannot be written is said loudly, and firing goes on.
//!
//! | word | meaning |
//! | --- | --- |
//! | schedule | what one file asks for |
//! | occurrence | one instant at which a schedule is due |
//! | delivery | the durable effort to have one occurrence accepted |
//! | attempt | one HTTP call of a delivery |
//! | outcome | what an attempt brought |
//! | acceptance | the API took the trigger (202): queued, not done |
//! | verdict | how an occurrence ended |
//! | ledger | the durable record of all that |
//! | catch-up | what is done about missed occurrences |
//!
//! Where to look: what a file may say is in [`schedule::resolve`], what a cron expression means in
//! [`schedule::cron`], what becomes of an occurrence in [`plan::agenda`] and told as stories by its
//! tests, what an HTTP answer means in [`api::http`], and how the parts run together in
//! [`daemon::run`].

// What was asked, and what becomes of it.
pub mod plan;
pub mod schedule;

// What keeps it, sends it and tells it.
pub mod api;
pub mod clock;
pub mod daemon;
pub mod http;
pub mod ledger;
pub mod past;
pub mod telemetry;

// What people hold in their hands.
pub mod cli;
pub mod render;
pub mod settings;
pub mod toml_file;

// The API's other side, for trying and testing.
pub mod sandbox;

mod failpoint;
