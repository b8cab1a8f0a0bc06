//! The status page, health, metrics and calendar of a running daemon, over real HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;
use triggerd::sandbox::{AgentChange, Behaviour, Fault, FaultKind, TRIGGER_ID, TokenChange};

use crate::support::{Daemon, World, owed_every_second};

const NIGHTLY: &str = "description = \"Sums up <b>the day</b>; once, always\"\ncron = \"30 2 * * *\"\n\
     timezone = \"Europe/Berlin\"\n\n[event]\nupdate_text = \"x\"\n";
const ROUTES: [&str; 8] = [
    "/",
    "/schedules/a",
    "/status.json",
    "/metrics",
    "/schedules.ics",
    "/healthz",
    "/readyz",
    "/nowhere",
];

/// A daemon with a status page, and whoever looks at it.
struct Page {
    daemon: Daemon,
    root: String,
    client: Client,
}

impl Page {
    /// Of a daemon whose triggerd.toml says this as well.
    fn open(world: &World, settings: &str) -> Self {
        world.settings(&format!("[http]\nlisten = \"127.0.0.1:0\"\n\n{settings}"));
        Self::of(world.daemon())
    }

    fn of(daemon: Daemon) -> Self {
        let line = daemon.says("status page listens");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy();
        Self {
            root: format!("http://{}", line["address"].as_str().expect("a text")),
            client: client.build().expect("a client"),
            daemon,
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.root));
        request.send().await.expect("it answers")
    }

    async fn get(&self, path: &str) -> String {
        let answer = self.ask(Method::GET, path).await;
        let text = answer.text().await.expect("a text");
        // As a browser reads it; in a text it would be no different.
        text.replace("&#x2f;", "/")
    }

    /// Looks again each time that the page is told of a change, and once a second, until it shows what is wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = async {
            let mut events = self.ask(Method::GET, "/events").await;
            loop {
                let text = self.get(path).await;
                if wanted(&text) {
                    return text;
                }
                // What it shows may have been put together before the last event.
                let event = timeout(Duration::from_secs(1), events.chunk()).await;
                if let Ok(event) = event {
                    let event = event.expect("events go on");
                    assert!(event.is_some_and(|it| it.starts_with(b"data: ")));
                }
            }
        };
        let waited = timeout(Duration::from_secs(90), found).await;
        match waited {
            Ok(text) => text,
            Err(_) => panic!("{path} does not show it: {}", self.get(path).await),
        }
    }
}

/// Everything that this daemon shows over HTTP.
pub(crate) async fn surfaces(daemon: Daemon) -> (Daemon, Vec<(String, Vec<u8>)>) {
    let page = Page::of(daemon);
    let mut surfaces = Vec::new();
    for path in ROUTES {
        let answer = page.ask(Method::GET, path).await;
        let headers = format!("{:?}\n", answer.headers());
        let body = answer.bytes().await.expect("a body");
        surfaces.push((path.to_owned(), [headers.as_bytes(), &body].concat()));
    }
    (page.daemon, surfaces)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_answers_to_get_and_head_alone_and_closes_the_browser_to_all_else() {
    let world = World::new().await;
    world.schedule("a", NIGHTLY);
    let page = Page::open(&world, "");
    let main = page.get("/").await;
    let assets = main.split('"').filter(|it| it.starts_with("/assets/"));
    let assets: Vec<&str> = assets.collect();
    assert_eq!(assets.len(), 2);
    for path in ROUTES.into_iter().chain(["/events"]).chain(assets.clone()) {
        let expected = match path {
            "/nowhere" => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        };
        for method in [Method::GET, Method::HEAD] {
            let answer = page.ask(method, path).await;
            assert_eq!(answer.status(), expected, "{path}");
            let header = |name| answer.headers()[name].to_str().expect("text").to_owned();
            let csp = header("content-security-policy");
            assert!(csp.starts_with("default-src 'none'; "), "{csp}");
            assert!(!csp.contains("unsafe"), "{csp}");
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
        }
        if path != "/nowhere" {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let status = page.ask(method, path).await.status();
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            }
        }
    }
    assert_eq!(
        page.ask(Method::GET, "/schedules/b").await.status(),
        StatusCode::NOT_FOUND
    );
    // Nothing from elsewhere, and nothing that the policy would not let through.
    for path in ["/", "/schedules/a"] {
        let text = page.get(path).await;
        for forbidden in [
            "<style",
            "style=",
            "<script>",
            "onclick",
            "src=\"http",
            "<b>",
        ] {
            assert!(!text.contains(forbidden), "{path} has `{forbidden}`");
        }
        assert!(text.contains("Sums up &lt;b&gt;the day"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_name_for_this_address_is_not_answered() {
    let world = World::new().await;
    world.schedule("a", NIGHTLY);
    let page = Page::open(&world, "");
    for (host, expected) in [
        ("localhost:9464", StatusCode::OK),
        ("[::1]", StatusCode::OK),
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("localhost.evil.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        for path in ROUTES.into_iter().take(7).chain(["/events"]) {
            let request = page.client.get(format!("{}{path}", page.root));
            let answer = request.header("host", host).send().await;
            assert_eq!(
                answer.expect("an answer").status(),
                expected,
                "{host}{path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said_loudly_and_stops_nothing() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    world.settings(&format!("[http]\nlisten = \"{address}\"\n"));
    world.schedule("a", &owed_every_second("x"));
    let daemon = world.daemon();
    let line = daemon.says("there can be no status page; everything else goes on");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["address"], address.to_string());
    world.until_more_effects(1).await;
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_set_and_another_address_waits_for_the_next_start() {
    let world = World::new().await;
    let daemon = world.daemon();
    daemon.says("control socket listens");
    world.settings("[http]\nlisten = \"127.0.0.1:0\"\n");
    daemon.signal(Signal::HUP);
    daemon.until(|line| {
        line["key"] == "http.listen"
            && line["message"] == "this key of triggerd.toml takes effect at the next start"
    });
    let log = Value::from(daemon.terminate().1).to_string();
    assert!(!log.contains("status page listens"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_what_becomes_of_a_schedule_and_what_needs_attention() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    world.schedule("off", &format!("enabled = false\n{NIGHTLY}"));
    let page = Page::open(&world, "");
    let main = page.get("/").await;
    assert!(main.contains("All is well."), "{main}");
    assert!(
        main.contains("Europe/Berlin") && main.contains(" UTC, in "),
        "{main}"
    );
    assert!(main.contains("disabled"), "{main}");

    // An open page is told of each of these.
    page.until("/schedules/nightly", |it| it.contains("Nothing yet."))
        .await;
    let run = |args: &[&str]| {
        let mut command = world.command(args);
        tokio::task::spawn_blocking(move || command.output())
    };
    run(&["trigger", "nightly"])
        .await
        .expect("no panic")
        .expect("it runs");
    let its = page
        .until("/schedules/nightly", |it| {
            it.contains("run <strong>completed")
        })
        .await;
    assert!(its.contains("href=\"https://chatgpt.com/c/"), "{its}");
    assert!(
        its.contains("1 attempt<") && its.contains("HTTP 202"),
        "{its}"
    );
    let refused = FaultKind::Status {
        status: 422,
        retry_after: None,
    };
    world.sandbox.fault(Fault::from(refused).times(1));
    run(&["trigger", "nightly"])
        .await
        .expect("no panic")
        .expect("it runs");
    let main = page.until("/", |it| it.contains("was rejected")).await;
    assert!(main.contains("class=\"cell accepted\" title="), "{main}");
    assert!(main.contains("class=\"cell rejected\" title="), "{main}");
    assert!(
        main.contains("aria-label=\"1 accepted, 1 rejected\""),
        "{main}"
    );
    assert!(main.contains("UTC: 1 accepted, 1 failed</title>"), "{main}");
    assert!(main.contains("1 coming</title>"), "{main}");

    world.schedule("broken", &NIGHTLY.replace("30 2", "61 2"));
    let main = page.until("/", |it| it.contains("Problems of files")).await;
    // As `check` draws it.
    assert!(main.contains("schedules/broken.toml:2:9"), "{main}");
    assert!(main.contains("61 2 * * *") && main.contains("^^"), "{main}");
    run(&["pause", "--all", "--reason", "a <move>"])
        .await
        .expect("no panic")
        .expect("it runs");
    let main = page.until("/", |it| it.contains("a &lt;move&gt;")).await;
    assert!(main.contains("class=\"state\">paused<"), "{main}");

    let no_token = TokenChange {
        token: triggerd::sandbox::TOKEN.into(),
        revoked: Some(true),
        ..TokenChange::default()
    };
    world.sandbox.set_token(no_token).expect("a token");
    // It waits for a verdict, and is left waiting.
    let _waiting = run(&["trigger", "nightly"]);
    let main = page.until("/", |it| it.contains("id=\"breakers\"")).await;
    assert!(
        main.contains("token <code>default</code>: refused, 1 waiting"),
        "{main}"
    );

    let status: Value = serde_json::from_str(&page.get("/status.json").await).expect("JSON");
    assert_eq!(status["schedules"][0]["schedule"], "nightly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_shown_with_its_conversation() {
    let world = World::new().await;
    let waits = AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        behaviour: Some(Behaviour::Suspends),
        ..AgentChange::default()
    };
    world.sandbox.set_agent(waits).expect("an agent");
    world.schedule("a", &crate::support::once(Duration::from_secs(1)));
    let page = Page::open(&world, "");
    let main = page.until("/", |it| it.contains(": suspended since")).await;
    let (_, runs) = main.split_once("id=\"runs\"").expect("they are there");
    assert!(runs.contains("href=\"https://chatgpt.com/c/"), "{runs}");
    let metrics = page
        .until("/metrics", |it| it.contains("state=\"suspended\"} 1"))
        .await;
    assert!(metrics.contains("triggerd_runs{schedule=\"a\",state=\"suspended\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_schedules_a_part_is_shown_and_the_filter_finds_the_others() {
    let world = World::new().await;
    for number in 0..120 {
        world.schedule(&format!("s{number:03}"), NIGHTLY);
    }
    let page = Page::open(&world, "");
    let rows = |text: &str| text.matches("<th scope=\"row\">").count();
    let first = page.get("/").await;
    assert_eq!(rows(&first), 100);
    assert!(first.contains("1 to 100 of 120"), "{first}");
    let second = page.get("/?page=2").await;
    assert_eq!(rows(&second), 20);
    let found = page.get("/?q=S11").await;
    assert_eq!(rows(&found), 10);
    let none = page.get("/?q=%22%3E%3Cscript%3E").await;
    assert!(
        none.contains("value=\"&quot;&gt;&lt;script&gt;\""),
        "{none}"
    );
    assert!(
        first.contains("most in one minute: 120 schedules at "),
        "{first}"
    );
    for odd in ["/?page=99", "/?page=18446744073709551615"] {
        assert_eq!(rows(&page.get(odd).await), 0, "{odd}");
    }
}

/// The samples of Prometheus's text format, by name and labels; it checks the whole grammar.
#[track_caller]
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family = (String::new(), String::new());
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || it == '_')
    };
    for line in text.strip_suffix('\n').expect("the last line ends").lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').expect("a text");
            assert!(families.insert(name.to_owned()), "`{name}` comes once");
            family = (name.to_owned(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(name, family.0);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family.1 = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series.split_once('{') {
                None => (series, ""),
                Some((name, labels)) => (name, labels.strip_suffix('}').expect("it ends")),
            };
            assert!(is_name(name), "{line}");
            let of_family = match family.1.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|it| format!("{}{it}", family.0) == name),
                kind => name == family.0 && (kind != "counter" || name.ends_with("_total")),
            };
            assert!(of_family, "{line} in {family:?}");
            for label in labels.split_inclusive("\",").filter(|it| !it.is_empty()) {
                let (name, value) = label
                    .trim_end_matches(',')
                    .split_once('=')
                    .expect("a label");
                assert!(is_name(name) && value.len() >= 2, "{line}");
                assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
            }
            let value = value
                .parse()
                .unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "{line} comes once"
            );
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_count_and_are_what_prometheus_reads() {
    let world = World::new().await;
    let every_second = owed_every_second("x").replace("input = \"x\"", "event.update_text = \"x\"");
    world.schedule("nightly", NIGHTLY);
    world.schedule("a", &every_second);
    let status = |status| FaultKind::Status {
        status,
        retry_after: None,
    };
    world.sandbox.fault(Fault::from(status(503)).times(1));
    world.sandbox.fault(Fault::from(status(422)).times(1));
    let page = Page::open(&world, "");
    let accepted = "triggerd_deliveries_accepted_total{schedule=\"a\"}";
    let seen = |text: &str| {
        let samples = samples(text);
        let of = |name: &str| samples.get(name).copied().unwrap_or_default();
        of(accepted) >= 2.0
            && of("triggerd_runs_ended_total{schedule=\"a\",end=\"completed\"}") >= 1.0
    };
    let found = samples(&page.until("/metrics", seen).await);
    assert_eq!(found["triggerd_schedules"], 2.0);
    assert_eq!(found["triggerd_attempts_failed_total{schedule=\"a\"}"], 2.0);
    assert_eq!(
        found["triggerd_deliveries_rejected_total{schedule=\"a\"}"],
        1.0
    );
    assert_eq!(
        found["triggerd_deliveries_accepted_total{schedule=\"nightly\"}"],
        0.0
    );
    assert_eq!(
        found["triggerd_lateness_seconds_count{schedule=\"a\"}"],
        found[accepted]
    );
    let bucket = "triggerd_lateness_seconds_bucket{schedule=\"a\",le=\"+Inf\"}";
    assert_eq!(found[bucket], found[accepted]);
    assert!(found["triggerd_next_due_timestamp_seconds{schedule=\"nightly\"}"] > 1.7e9);
    let last = "triggerd_last_accepted_timestamp_seconds{schedule=\"a\"}";
    assert!(found[last] > 1.7e9);

    // When it was last accepted is known over a restart; the schedule is gone by then to fire no more.
    world.schedule("a", &format!("enabled = false\n{every_second}"));
    let page = Page::of({
        page.daemon.terminate();
        world.daemon()
    });
    let again = samples(&page.get("/metrics").await);
    assert!(again[last] >= found[last]);
    assert_eq!(again[accepted], 0.0);

    let readme = include_str!("../../README.md");
    let text = page.get("/metrics").await;
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in names {
        assert!(
            readme.contains(&format!("`{name}")),
            "README does not name `{name}`"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_is_what_a_calendar_reads() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    let long = NIGHTLY.replace("once", &"Zähler ".repeat(20));
    world.schedule("long", &long);
    let page = Page::open(&world, "");
    let text = page.get("/schedules.ics").await;
    assert!(
        text.split("\r\n")
            .all(|line| line.len() <= 75 && !line.contains('\n'))
    );
    assert!(text.ends_with("END:VCALENDAR\r\n"));
    let unfolded = text.replace("\r\n ", "");
    let mut events: Vec<BTreeMap<&str, &str>> = Vec::new();
    for line in unfolded.lines() {
        let (name, value) = line.split_once(':').expect("each line has a name");
        match (name, value) {
            ("BEGIN", "VEVENT") => events.push(BTreeMap::new()),
            ("BEGIN" | "END", _) => {}
            _ => {
                if let Some(event) = events.last_mut() {
                    assert_eq!(event.insert(name, value), None, "{line} comes once");
                }
            }
        }
    }
    let next = world
        .run(&["next", "nightly", "--count", "30", "--json"])
        .stdout;
    let next: Value = serde_json::from_slice(&next).expect("JSON");
    let expected: Vec<String> = next["occurrences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| {
            it["due_at_utc"]
                .as_str()
                .expect("a text")
                .replace(['-', ':'], "")
        })
        .collect();
    let nightly: Vec<&BTreeMap<_, _>> = events
        .iter()
        .filter(|it| it["SUMMARY"] == "nightly")
        .collect();
    let starts: Vec<&str> = nightly.iter().map(|it| it["DTSTART"]).collect();
    assert_eq!(starts, expected);
    assert_eq!(
        nightly[0]["DESCRIPTION"],
        "Sums up <b>the day</b>\\; once\\, always"
    );
    let uids: BTreeSet<&str> = events.iter().map(|it| it["UID"]).collect();
    assert_eq!(uids.len(), events.len(), "each has a name of its own");
    assert!(events.iter().all(|it| it["DTSTAMP"].ends_with('Z')));
}

#[track_caller]
fn number(chunk: Option<impl AsRef<[u8]>>) -> u64 {
    let chunk = chunk.expect("events go on");
    let text = std::str::from_utf8(chunk.as_ref()).expect("text");
    let data = text
        .strip_prefix("data: ")
        .and_then(|it| it.strip_suffix("\n\n"));
    data.expect(text).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_at_once_and_after_each_change() {
    let world = World::new().await;
    world.schedule("a", NIGHTLY);
    let page = Page::open(&world, "");
    let mut events = page.ask(Method::GET, "/events").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let first = number(events.chunk().await.expect("a chunk"));
    world.schedule("b", NIGHTLY);
    let second = number(events.chunk().await.expect("a chunk"));
    assert!(second > first);
    // What it told of is on the page that is fetched then, or on one that says that it is older.
    let main = page.until("/", |it| it.contains("/schedules/b")).await;
    let (_, change) = main
        .split_once("data-change=\"")
        .expect("it says how new it is");
    let change: u64 = change
        .split('"')
        .next()
        .expect("a text")
        .parse()
        .expect("a number");
    assert!(change > first);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_verdict_is_one_though_the_next_occurrence_is_written_ahead() {
    let world = World::new().await;
    world.schedule("a", &owed_every_second("x"));
    let page = Page::open(&world, "");
    world.until_more_effects(2).await;
    let last = |text: &str| -> Value {
        let status: Value = serde_json::from_str(text).expect("JSON");
        status["schedules"][0]["last"].clone()
    };
    for _ in 0..3 {
        let seen = page.until("/status.json", |it| !last(it).is_null()).await;
        assert_eq!(last(&seen)["verdict"], "accepted");
        world.until_more_effects(1).await;
    }
}
