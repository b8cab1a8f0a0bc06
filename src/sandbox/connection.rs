//! The listener whose connections can be told to end in a reset, or to drip; knows no HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

const STEADY: u8 = 0;
const RESET: u8 = 1;
const DRIP: u8 = 2;

const DRIP_INTERVAL: Duration = Duration::from_secs(1);

/// A request's hold on the connection that it came by.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    mood: Arc<AtomicU8>,
}

impl Peer {
    /// Nothing more is written: the connection ends in a TCP reset where the answer would begin.
    pub(crate) fn reset(&self) {
        self.mood.store(RESET, Ordering::Release);
    }

    /// From now on one byte a second is written.
    pub(crate) fn drip(&self) {
        self.mood.store(DRIP, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, MoodyListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, MoodyListener>) -> Self {
        Self {
            address: *stream.remote_addr(),
            mood: stream.io().mood.clone(),
        }
    }
}

pub(crate) struct MoodyListener(pub(crate) TcpListener);

impl Listener for MoodyListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // An answer is small and awaited; without this, its last part may wait for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let connection = Connection {
            stream,
            mood: Arc::new(AtomicU8::new(STEADY)),
            pause: None,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
    mood: Arc<AtomicU8>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.mood.load(Ordering::Acquire) {
            RESET => {
                // Closing with a linger of zero drops what is unsent and sends RST in place of FIN.
                self.stream.set_zero_linger()?;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            DRIP => {
                if let Some(pause) = &mut self.pause {
                    ready!(pause.as_mut().poll(cx));
                }
                let one = &bytes[..bytes.len().min(1)];
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, one))?;
                self.pause = Some(Box::pin(tokio::time::sleep(DRIP_INTERVAL)));
                Poll::Ready(Ok(written))
            }
            _ => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.mood.load(Ordering::Acquire) == RESET {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
