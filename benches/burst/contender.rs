//! Whom triggerd is measured beside: the floor (a bare hyper client that only has to send), a bare reqwest
//! client, and tokio-cron-scheduler with reqwest. Each runs in a process of its own and says when it is loaded.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use tokio_cron_scheduler::{Job, JobScheduler};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    Floor,
    Reqwest,
    Triggerd,
    /// With status pages open.
    TriggerdPages,
    Scheduler,
    SchedulerLarge,
    FloorTls,
    TriggerdTls,
}

const PAGES: usize = 50;

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor: bare hyper client",
            Self::Reqwest => "bare reqwest client",
            Self::Triggerd => "triggerd",
            Self::TriggerdPages => "triggerd, 50 status pages open",
            Self::Scheduler => "tokio-cron-scheduler, as it comes",
            Self::SchedulerLarge => "tokio-cron-scheduler, channel 65,536",
            Self::FloorTls => "floor, TLS and HTTP/2",
            Self::TriggerdTls => "triggerd, TLS and HTTP/2",
        }
    }

    pub(crate) fn is_triggerd(self) -> bool {
        matches!(
            self,
            Self::Triggerd | Self::TriggerdPages | Self::TriggerdTls
        )
    }

    /// How many status pages are open.
    pub(crate) fn pages(self) -> usize {
        match self {
            Self::TriggerdPages => PAGES,
            _ => 0,
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::FloorTls | Self::TriggerdTls)
    }

    pub(crate) fn floor(self) -> Self {
        if self.is_tls() {
            Self::FloorTls
        } else {
            Self::Floor
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Task {
    #[arg(long)]
    pub(crate) n: usize,
    /// Seconds since 1970
    #[arg(long)]
    pub(crate) due: i64,
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long, default_value_t = 64)]
    pub(crate) in_flight: usize,
    #[arg(long)]
    pub(crate) authority: PathBuf,
}

/// About as long as a schedule's body.
fn body(n: usize) -> String {
    let text = "Summarise the tickets opened since yesterday.";
    format!(
        r#"{{"conversation_key":"burst-{n}-20261123T0900","input":"Request id: burst-{n}-20261123T0900\nSource system: triggerd\nSubmitted at: 2026-11-23T09:00:00Z\nOutput destination: #reports\nUpdate text: {text}\n\nWrite this update to the destination, starting with exactly this line:\nWorkspace Agent API demo received: burst-{n}-20261123T0900\n"}}"#
    )
}

fn loaded() {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "loaded").and_then(|()| out.flush());
}

/// hyper, which only has to send.
pub(crate) fn floor(task: &Task) -> anyhow::Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pem(&task.authority)? {
        roots.add(certificate)?;
    }
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let url: hyper::Uri = task.url.parse()?;
    send_all(task, move |n, body| {
        let request = hyper::Request::post(url.clone())
            .header(AUTHORIZATION, "Bearer at-bench")
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", format!("burst-{n}"))
            .body(Full::new(body))
            .expect("a good request");
        let sent = client.request(request);
        async move {
            if let Ok(response) = sent.await {
                let _ = response.into_body().collect().await;
            }
        }
    })
}

/// What triggerd sends by, without triggerd.
pub(crate) fn reqwest(task: &Task) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let url: reqwest::Url = task.url.parse()?;
    send_all(task, move |n, body| {
        let sent = call(&client, url.clone(), n, body).send();
        async move {
            if let Ok(response) = sent.await {
                let _ = response.bytes().await;
            }
        }
    })
}

fn call(
    client: &reqwest::Client,
    url: impl reqwest::IntoUrl,
    n: usize,
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    client
        .post(url)
        .header(AUTHORIZATION, "Bearer at-bench")
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", format!("burst-{n}"))
        .body(body)
}

/// Everything is made before; at the instant `in_flight` tasks send one after the other.
fn send_all<S, F>(task: &Task, send: S) -> anyhow::Result<()>
where
    S: Fn(usize, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let bodies: Arc<Vec<_>> = Arc::new((0..task.n).map(|n| Bytes::from(body(n))).collect());
        loaded();
        let due = Timestamp::from_second(task.due)?;
        tokio::time::sleep(
            Duration::try_from(due.duration_since(Timestamp::now()))?
                .saturating_sub(Duration::from_millis(2)),
        )
        .await;
        while Timestamp::now() < due {
            std::hint::spin_loop();
        }
        let (send, next) = (Arc::new(send), Arc::new(AtomicUsize::new(0)));
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..task.in_flight.min(task.n) {
            let (send, bodies, next) = (send.clone(), bodies.clone(), next.clone());
            senders.spawn(async move {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(body) = bodies.get(n)
                {
                    send(n, body.clone()).await;
                }
            });
        }
        senders.join_all().await;
        std::future::pending().await
    })
}

fn rustls_pem(
    path: &std::path::Path,
) -> anyhow::Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
    use rustls::pki_types::pem::PemObject;
    let certificates = rustls::pki_types::CertificateDer::pem_file_iter(path)?;
    Ok(certificates.collect::<Result<_, _>>()?)
}

/// One job for each schedule, as its documentation shows it.
pub(crate) fn scheduler(task: &Task, channel: Option<usize>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let scheduler = match channel {
            None => JobScheduler::new().await?,
            Some(size) => JobScheduler::new_with_channel_size(size).await?,
        };
        let client = reqwest::Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .build()?;
        let due = Timestamp::from_second(task.due)?;
        let cron = due.strftime("%-S %-M %-H * * *").to_string();
        for n in 0..task.n {
            let (client, url) = (client.clone(), task.url.clone());
            let job = Job::new_async(cron.as_str(), move |_, _| {
                let call = call(&client, &url, n, body(n));
                Box::pin(async move {
                    if let Ok(response) = call.send().await {
                        let _ = response.bytes().await;
                    }
                })
            })?;
            scheduler.add(job).await?;
        }
        scheduler.start().await?;
        loaded();
        std::future::pending().await
    })
}
