//! A server for the client's tests. It speaks raw bytes, so that it can misbehave in any way.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
}

/// One connection, seen from the server.
pub(super) struct Peer {
    stream: TcpStream,
    requests: mpsc::UnboundedSender<String>,
}

impl Server {
    /// Runs `serve` for each connection until the test ends.
    pub(super) async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let requests = sender.clone();
                tokio::spawn(serve(Peer { stream, requests }));
            }
        });
        Self { address, requests }
    }

    /// Answers every request of every connection with `response`.
    pub(super) async fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |mut peer| {
            let response = response.clone();
            async move { while peer.read_request().await && peer.write(&response).await {} }
        })
        .await
    }

    /// The requests that have arrived since the last call.
    pub(super) fn requests(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

impl Peer {
    /// Whether a whole request came.
    pub(super) async fn read_request(&mut self) -> bool {
        let mut request = Vec::new();
        while !is_whole(&request) {
            match self.stream.read_buf(&mut request).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        let request = String::from_utf8(request).expect("our requests are UTF-8");
        self.requests.send(request).is_ok()
    }

    /// Whether the client still took it.
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    pub(super) fn reset(self) {
        self.stream.set_zero_linger().expect("a TCP socket");
    }

    /// Says nothing until the client has hung up.
    pub(super) async fn wait_for_hang_up(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a number"));
    body.len() >= length
}
