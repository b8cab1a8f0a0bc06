//! The API's side: as cheap as a server can be, and the same for every contender. It notes when each
//! call arrived and under which key, answers after a while, and counts connections.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Sink {
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    pub(crate) authority: tempfile::NamedTempFile,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    arrivals: Mutex<Vec<Arrival>>,
    connections: AtomicUsize,
    delay_ms: AtomicU64,
}

#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Timestamp,
    pub(crate) key: String,
}

const ANSWER: &[u8] = br#"{"conversation_url":"https://chatgpt.com/c/6f1a5a3e-0000-4000-8000-000000000000","agent_trigger_run_id":"apirun_0123456789abcdef0123456789abcdef"}"#;

impl Sink {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (plain, tls) =
            runtime.block_on(async { std::io::Result::Ok((listen()?, listen()?)) })?;
        let authority = tempfile::NamedTempFile::new()?;
        let acceptor = acceptor(authority.path())?;
        let sink = Self {
            plain: plain.local_addr()?.port(),
            tls: tls.local_addr()?.port(),
            authority,
            taken: Arc::default(),
        };
        let taken = sink.taken.clone();
        std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                let plain = serve(plain, None, taken.clone());
                let tls = serve(tls, Some(acceptor), taken.clone());
                runtime.block_on(async { tokio::try_join!(plain, tls) })
            })?;
        Ok(sink)
    }

    /// Forgets what came, and answers after this long from now on.
    pub(crate) fn begin(&self, delay_ms: u64) {
        self.taken.arrivals.lock().expect("the sink lives").clear();
        self.taken.connections.store(0, Ordering::Relaxed);
        self.taken.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    pub(crate) fn arrived(&self) -> usize {
        self.taken.arrivals.lock().expect("the sink lives").len()
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.taken.arrivals.lock().expect("the sink lives").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.taken.connections.load(Ordering::Relaxed)
    }
}

/// A thousand may connect at once: one that found the queue full would come back after a second.
fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(4096)
}

fn acceptor(authority: &Path) -> anyhow::Result<TlsAcceptor> {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()])?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    std::fs::write(authority, ca.pem())?;
    let issuer = rcgen::Issuer::new(params, ca_key);
    let key = rcgen::KeyPair::generate()?;
    let leaf = rcgen::CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())
        .map_err(anyhow::Error::msg)?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    taken: Arc<Taken>,
) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        taken.connections.fetch_add(1, Ordering::Relaxed);
        let (tls, taken) = (tls.clone(), taken.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, false, taken).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        converse(stream, h2, taken).await;
                    }
                }
            }
        });
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    h2: bool,
    taken: Arc<Taken>,
) {
    let service = service_fn(move |request| answer(request, taken.clone()));
    let stream = TokioIo::new(stream);
    // A client that hangs up is none of the sink's concern.
    let _ = match h2 {
        true => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(stream, service)
                .await
        }
        false => {
            hyper::server::conn::http1::Builder::new()
                .serve_connection(stream, service)
                .await
        }
    };
}

async fn answer(
    request: Request<Incoming>,
    taken: Arc<Taken>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Timestamp::now();
    // The others ask how far a run is.
    if request.method() == Method::POST {
        let key = request.headers().get("idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()).unwrap_or_default();
        let key = key.to_owned();
        let mut arrivals = taken.arrivals.lock().expect("no holder panics");
        arrivals.push(Arrival { at, key });
    }
    let _ = request.into_body().collect().await;
    match taken.delay_ms.load(Ordering::Relaxed) {
        0 => {}
        delay => tokio::time::sleep(Duration::from_millis(delay)).await,
    }
    Ok(Response::builder()
        .status(202)
        .header("content-type", "application/json")
        .header("x-request-id", "req_0123456789abcdef0123456789abcdef")
        .body(Full::new(Bytes::from_static(ANSWER)))
        .expect("a good response"))
}
