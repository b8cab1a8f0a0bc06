//! What reaches a person who looks at no log: one alert when something breaks, one when it is mended,
//! and heartbeats to where silence is noticed.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use triggerd::sandbox::{Fault, FaultKind, TOKEN};

use crate::support::{EVERY_SECOND, World, once};

const DEADLINE: Duration = Duration::from_secs(30);

/// A server that keeps what it is told, and refuses so many calls first.
struct Listener {
    url: String,
    heard: watch::Sender<Vec<(String, String)>>,
}

struct Ears {
    heard: watch::Sender<Vec<(String, String)>>,
    refusals: std::sync::atomic::AtomicUsize,
}

impl Listener {
    async fn refusing(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (heard, _) = watch::channel(Vec::new());
        let ears = Arc::new(Ears {
            heard: heard.clone(),
            refusals: refusals.into(),
        });
        let app = Router::new().fallback(hear).with_state(ears);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, heard }
    }

    /// Waits until it has heard so many calls of a path, and gives them.
    async fn until(&self, path: &str, count: usize) -> Vec<String> {
        let mut heard = self.heard.subscribe();
        let of_path = |all: &Vec<(String, String)>| -> Vec<String> {
            let of_path = all.iter().filter(|(heard, _)| heard == path);
            of_path.map(|(_, body)| body.clone()).collect()
        };
        let enough = heard.wait_for(|all| of_path(all).len() >= count);
        let enough = tokio::time::timeout(DEADLINE, enough).await;
        let all = enough.unwrap_or_else(|_| panic!("{path}: {:?}", *self.heard.borrow()));
        of_path(&all.expect("it is there"))
    }
}

async fn hear(State(ears): State<Arc<Ears>>, uri: Uri, body: Bytes) -> StatusCode {
    use std::sync::atomic::Ordering;
    let refuse = |left: usize| left.checked_sub(1);
    if ears
        .refusals
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse)
        .is_ok()
    {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let call = (
        uri.path().to_owned(),
        String::from_utf8_lossy(&body).into_owned(),
    );
    ears.heard.send_modify(|heard| heard.push(call));
    StatusCode::OK
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_is_one_alert_and_its_mending_another() {
    let world = World::new().await;
    let listener = Listener::refusing(1).await;
    world.settings(&format!(
        "[token]\nfile = \"token\"\n\n[alerts]\nwebhook = \"{}/hook/secret-hook\"\n",
        listener.url
    ));
    fs::write(world.path("token"), "at-expired-canary").expect("a file");
    let text = EVERY_SECOND.replace("hello", "canary-input");
    for name in ["a", "b", "c"] {
        world.schedule(name, &text);
    }
    let daemon = world.daemon();
    // The first try was refused: it is tried again, with what came meanwhile.
    let failed = daemon.says("alerts could not be sent; they are tried again");
    assert!(!failed.to_string().contains("secret-hook"), "{failed}");
    let broken = listener.until("/hook/secret-hook", 1).await;
    let broken: Value = serde_json::from_str(&broken[0]).expect("JSON");
    assert_eq!(
        broken["alerts"].as_array().expect("a list").len(),
        1,
        "{broken}"
    );
    assert_eq!(broken["alerts"][0]["state"], "broken");
    assert_eq!(broken["alerts"][0]["schedule"], Value::Null);
    let text = broken["text"].as_str().expect("a text");
    assert!(
        text.starts_with("triggerd, broken: the token `default` is refused"),
        "{text}"
    );

    fs::write(world.path("token"), TOKEN).expect("a file");
    let hooks = listener.until("/hook/secret-hook", 2).await;
    assert!(hooks[1].contains("\"state\":\"mended\""), "{hooks:?}");
    let all = format!("{hooks:?} {:?}", daemon.log());
    for secret in [TOKEN, "at-expired-canary", "canary-input", "secret-hook"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_and_a_rejected_delivery_are_told_until_they_are_mended() {
    let world = World::new().await;
    let listener = Listener::refusing(0).await;
    world.settings(&format!("[alerts]\nwebhook = \"{}/hook\"\n", listener.url));
    let refused = FaultKind::Status {
        status: 400,
        retry_after: None,
    };
    world.sandbox.fault(Fault::from(refused).times(1));
    world.schedule("a", EVERY_SECOND);
    world.schedule("b", "cron = \"61 * * * *\"\ninput = \"x\"\n");
    let _daemon = world.daemon();
    let mut told = String::new();
    let all = ["b.toml has an error", "was rejected: ", "a is well again"];
    for count in 1.. {
        told = listener.until("/hook", count).await.concat();
        if all.iter().all(|it| told.contains(it)) {
            break;
        }
    }
    let of_the_schedule = "\"subject\":\"a\",\"schedule\":\"a\",\"state\":\"broken\"";
    assert!(told.contains(of_the_schedule), "{told}");
    assert!(
        !told.contains("the folder of schedules is well again"),
        "{told}"
    );
    let before = listener.until("/hook", 1).await.len();
    world.schedule("b", "cron = \"@yearly\"\ninput = \"x\"\n");
    let told = listener.until("/hook", before + 1).await;
    assert!(
        told[before].contains("the folder of schedules is well again"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_tell_of_the_daemon_and_of_each_start_success_and_failure() {
    let world = World::new().await;
    let listener = Listener::refusing(0).await;
    world.settings(&format!(
        "[alerts]\nheartbeat = \"{}/daemon\"\nheartbeat_every = \"1s\"\n",
        listener.url
    ));
    let with_heartbeat = |name: &str| {
        let check = format!("{}/{name}", listener.url);
        format!(
            "{}\n[expect]\nheartbeat = \"{check}\"\n",
            once(Duration::from_secs(2))
        )
    };
    let refused = FaultKind::Status {
        status: 422,
        retry_after: None,
    };
    world.sandbox.fault(Fault {
        contains: Some("bad-".to_owned()),
        ..Fault::from(refused)
    });
    world.schedule("good", &with_heartbeat("good"));
    world.schedule("bad", &with_heartbeat("bad"));
    let _daemon = world.daemon();
    listener.until("/good/start", 1).await;
    listener.until("/good", 1).await;
    listener.until("/bad/fail", 1).await;
    listener.until("/daemon", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_is_told_at_the_start() {
    let world = World::new().await;
    let listener = Listener::refusing(0).await;
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    world.settings(&format!(
        "[alerts]\nwebhook = \"{}/hook\"\n\n[token]\nenv = \"WORKSPACE_AGENT_ACCESS_TOKEN\"\nexpires = {}\n",
        listener.url,
        tomorrow.strftime("%Y-%m-%d")
    ));
    world.schedule("a", "cron = \"@yearly\"\ninput = \"x\"\n");
    let _daemon = world.daemon();
    let told = listener.until("/hook", 1).await;
    assert!(
        told[0].contains("the token `default` expires tomorrow"),
        "{told:?}"
    );
}
