//! What the daemon tells systemd (sd_notify(3)), read from a socket as systemd would read it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Daemon, EVERY_SECOND, World};

const DEADLINE: Duration = Duration::from_secs(30);

/// Due in a far year.
const LATER: &str = "at = 2126-11-23T09:00:00\ninput = \"hello\"\n";

struct Systemd(UnixDatagram);

impl Systemd {
    /// A daemon whose watchdog is to be fed within this time.
    fn start(world: &World, watchdog: Duration) -> (Self, Daemon) {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut command = world.command(&["run", "--log-format", "json"]);
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        (Self(socket), Daemon::start(command))
    }

    /// The next thing that it is told, as `NAME=value` lines.
    fn told(&self) -> BTreeMap<String, String> {
        let mut datagram = [0; 4096];
        let length = self.0.recv(&mut datagram).expect("it is told something");
        let text = std::str::from_utf8(&datagram[..length]).expect("UTF-8");
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// Waits until it is told this, and gives all that came with it.
    fn until(&self, name: &str, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        loop {
            let told = self.told();
            if told.get(name).is_some_and(|value| wanted(value)) {
                return told;
            }
        }
    }
}

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn ready_when_loaded_reloading_when_asked_stopping_at_the_end() {
    let world = World::new().await;
    world.schedule("later", LATER);
    let (systemd, daemon) = Systemd::start(&world, NEVER);
    let first = systemd.told();
    assert_eq!(first["READY"], "1");
    let status = "1 schedule, open deliveries: 0; next is later at 2126-11-23T09:00:00Z";
    assert_eq!(first["STATUS"], status);
    assert!(world.path("state/ledger.db").exists());

    world.schedule("another", &LATER.replace("2126", "2125"));
    daemon.signal(Signal::HUP);
    let reloading = systemd.until("RELOADING", |value| value == "1");
    let since_boot: u64 = reloading["MONOTONIC_USEC"].parse().expect("microseconds");
    assert!(since_boot > 0);
    let ready = systemd.until("READY", |value| value == "1");
    let status = "2 schedules, open deliveries: 0; next is another at 2125-11-23T09:00:00Z";
    assert_eq!(ready["STATUS"], status, "what was read is in force by then");

    daemon.signal(Signal::TERM);
    systemd.until("STOPPING", |value| value == "1");
    assert!(daemon.ended().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_follows_what_happens() {
    let world = World::new().await;
    let (systemd, daemon) = Systemd::start(&world, NEVER);
    systemd.until("STATUS", |it| {
        it == "0 schedules, open deliveries: 0; nothing is due"
    });
    world.schedule("later", LATER);
    systemd.until("STATUS", |it| it.starts_with("1 schedule, "));
    fs::remove_file(world.path("schedules/later.toml")).expect("it is there");
    systemd.until("STATUS", |it| it.starts_with("0 schedules, "));
    world.schedule("now", EVERY_SECOND);
    let soon = systemd.until("STATUS", |it| it.contains("next is now at "));
    systemd.until("STATUS", |it| {
        it.contains("next is now at ") && it != soon["STATUS"]
    });
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_while_nothing_happens() {
    let world = World::new().await;
    let (systemd, daemon) = Systemd::start(&world, Duration::from_millis(100));
    systemd.until("READY", |value| value == "1");
    for _ in 0..5 {
        systemd.until("WATCHDOG", |value| value == "1");
    }
    assert!(daemon.terminate().0.success());
}
