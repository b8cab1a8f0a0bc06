//! Ways into a real server that are right or wrong: each start says what to do, or fires all the same.

use std::fs;
use std::net::TcpListener;

use jiff::SignedDuration;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::Signal;

use crate::Context;
use crate::daemon::until;
use crate::judge::Judgement;
use crate::row::Row;
use crate::server::Server;
use crate::story::Plan;
use crate::world::World;

enum Then {
    Joins,
    /// The start fails, and says these.
    Fails([&'static str; 2]),
    /// It fires what it has loaded, and says these.
    Alone([&'static str; 2]),
}

pub(crate) fn way_in(context: &Context) -> Row {
    let mut server = match Server::start() {
        Ok(server) => server,
        Err(problem) => return Row::failed(problem),
    };
    let (ours, others) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.certificate("localhost");
    server.put("server.crt", &certificate);
    server.put("server.key", &key);
    server.put(
        "pg_hba.conf",
        "local all all trust\nhostssl all all all scram-sha-256\n",
    );
    server.query("ALTER USER triggerd PASSWORD 'geheim'");
    // A port that was free a moment ago: the server takes none that it may choose itself.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let port = free.expect("a free port").port();
    server.set(&format!(
        "-c listen_addresses=localhost -c port={port} -c ssl=on"
    ));

    let mut row = Row::default();
    let by_name = format!("postgres://triggerd@localhost:{port}/triggerd");
    let encrypted = [
        (by_name.clone(), "geheim", &ours, Then::Joins),
        (
            by_name.clone(),
            "geheim",
            &others,
            Then::Alone(["invalid peer certificate", "`[ledger] ca_file`"]),
        ),
        (
            format!("postgres://triggerd@127.0.0.1:{port}/triggerd?sslmode=require"),
            "geheim",
            &ours,
            Then::Alone(["not valid for name", "must be valid for its name"]),
        ),
        (
            by_name.clone(),
            "falsch",
            &ours,
            Then::Fails([
                "password authentication failed",
                "look at user and password",
            ]),
        ),
        (
            format!("postgres://triggerd@localhost:{port}/other"),
            "geheim",
            &ours,
            Then::Fails([
                "database \"other\" does not exist",
                "make it with `createdb`",
            ]),
        ),
    ];
    for (url, password, authority, then) in encrypted {
        row = row.and(start(context, &url, password, authority, then));
    }

    server.set(&format!(
        "-c listen_addresses=localhost -c port={port} -c ssl=off"
    ));
    let no_tls = Then::Alone(["server does not support TLS", "`ssl = on`"]);
    let required = format!("{by_name}?sslmode=require");
    row = row.and(start(context, &required, "geheim", &ours, no_tls));

    // One that stands by for another.
    server.set("-c listen_addresses= -c default_transaction_read_only=on");
    let socket = server.folder().display().to_string();
    let socket = format!("postgres:///triggerd?host={socket}&user=triggerd");
    let only_reads = Then::Alone(["read-only transaction", "this server only reads"]);
    row.and(start(context, &socket, "geheim", &ours, only_reads))
}

fn start(context: &Context, url: &str, password: &str, trusted: &Authority, then: Then) -> Row {
    let mut world = World::new(&context.daemon, SignedDuration::ZERO);
    world.schedule(&Plan::new("each-second", "* * * * * *"));
    fs::write(world.path("password"), password).expect("a file");
    fs::write(world.path("ca.pem"), &trusted.pem).expect("a file");
    let settings = fs::read_to_string(world.path("triggerd.toml")).expect("a file");
    let ledger = format!(
        "[ledger]\nurl = \"{url}\"\npassword = {{ file = \"password\" }}\nca_file = \"ca.pem\"\n"
    );
    fs::write(world.path("triggerd.toml"), settings + &ledger).expect("a file");
    let command = world.command(&context.daemon, "", "state");
    let mut daemon = world.start(command, "state");
    let log = daemon.log.clone();
    let wanted = match &then {
        Then::Joins => ["joined the nodes", "schedules taken up"],
        Then::Fails(words) | Then::Alone(words) => *words,
    };
    let said = || fs::read_to_string(&log).unwrap_or_default();
    until(&format!("{wanted:?} of {url}"), || {
        let runs = daemon.is_running();
        let said = said();
        let all = wanted.iter().all(|words| said.contains(words));
        assert!(all || runs, "{url}: {said}");
        all
    });
    match then {
        Then::Fails(_) => until("it ends", || !daemon.is_running()),
        Then::Joins | Then::Alone(_) => {
            until(&format!("a firing with {url}"), || {
                world.api.record().1.len() > 1
            });
            daemon.end(Signal::TERM);
        }
    }
    let judgement = Judgement {
        judged: 1,
        ..Judgement::default()
    };
    Row::of(1, judgement).expect(
        !said().contains("geheim"),
        format!("the password of {url} is in the log"),
    )
}

/// One that signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = valid(Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// And its key.
    fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = valid(vec![name.to_owned()]);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

fn valid(names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    params
}
