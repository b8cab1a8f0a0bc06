//! Enough connections for a burst over HTTP/2, where a client has one to each host and an edge lets
//! about a hundred calls through it at a time: the rest would wait inside the client while their
//! time-outs run. It knows no request.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use reqwest::{Client, ClientBuilder};

/// Calls that one client carries before another is made.
const CALLS_A_LANE: usize = 64;

/// Clients that are alike, each with connections of its own; made as they are needed.
pub(super) struct Lanes {
    make: Box<dyn Fn(Speaks) -> ClientBuilder + Send + Sync>,
    made: RwLock<Made>,
}

/// What the API is taken to speak. A client that takes it for HTTP/2 opens one connection for calls that come
/// together, where one that takes nothing for granted opens a connection for each, and then may need none but
/// the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Whatever,
    Http2,
}

/// All for the same `speaks`, at least one.
struct Made {
    speaks: Speaks,
    lanes: Vec<Lane>,
}

struct Lane {
    client: Client,
    calls: Arc<AtomicUsize>,
}

/// A client for as long as one call lasts.
pub(super) struct Taken {
    client: Client,
    pub(super) speaks: Speaks,
    calls: Arc<AtomicUsize>,
}

impl Lanes {
    /// # Errors
    /// If there can't be such a client.
    pub(super) fn new(
        make: impl Fn(Speaks) -> ClientBuilder + Send + Sync + 'static,
        speaks: Speaks,
    ) -> reqwest::Result<Self> {
        let first = Lane::idle(make(speaks).build()?);
        Ok(Self {
            make: Box::new(make),
            made: RwLock::new(Made {
                speaks,
                lanes: vec![first],
            }),
        })
    }

    /// The first client with room, so that few connections are in use while there is little to do.
    pub(super) fn take(&self) -> Taken {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        let with_room = |lane: &Lane| lane.with_room(made.speaks);
        if let Some(lane) = made.lanes.iter().find_map(with_room) {
            return lane;
        }
        drop(made);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.client(made.speaks) {
            made.lanes.push(Lane::idle(client));
        }
        made.lanes[made.lanes.len() - 1].shared(made.speaks)
    }

    /// From now on clients are made for what the API was heard to speak. Calls under way go on as they
    /// were begun.
    pub(super) fn heard(&self, speaks: Speaks) {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        let is_news = made.speaks != speaks;
        drop(made);
        if is_news && let Some(client) = self.client(speaks) {
            *self.made.write().unwrap_or_else(PoisonError::into_inner) = Made {
                speaks,
                lanes: vec![Lane::idle(client)],
            };
        }
    }

    fn client(&self, speaks: Speaks) -> Option<Client> {
        // It could be made before: if not now, this machine has run out of something, and calls share a lane.
        (self.make)(speaks)
            .build()
            .inspect_err(|error| tracing::warn!(%error, "no further HTTP client can be made"))
            .ok()
    }
}

impl Lane {
    fn idle(client: Client) -> Self {
        Self {
            client,
            calls: Arc::new(AtomicUsize::new(0)),
        }
    }

    fn with_room(&self, speaks: Speaks) -> Option<Taken> {
        let one_more = |calls| (calls < CALLS_A_LANE).then_some(calls + 1);
        self.calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(self.counted(speaks))
    }

    fn shared(&self, speaks: Speaks) -> Taken {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.counted(speaks)
    }

    fn counted(&self, speaks: Speaks) -> Taken {
        Taken {
            client: self.client.clone(),
            speaks,
            calls: self.calls.clone(),
        }
    }
}

impl Deref for Taken {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_spreads_over_as_many_clients_as_it_needs_and_they_are_used_again() {
        crate::api::http::provide_cryptography();
        let make = |_| Client::builder().tls_certs_only([]);
        let lanes = Lanes::new(make, Speaks::Whatever).unwrap();
        let count = || lanes.made.read().unwrap().lanes.len();
        let burst: Vec<Taken> = (0..3 * CALLS_A_LANE).map(|_| lanes.take()).collect();
        assert_eq!(count(), 3);
        drop(burst);
        let again: Vec<Taken> = (0..CALLS_A_LANE).map(|_| lanes.take()).collect();
        assert_eq!(count(), 3);
        let first = &lanes.made.read().unwrap().lanes[0];
        assert_eq!(first.calls.load(Ordering::Relaxed), again.len());
    }
}
