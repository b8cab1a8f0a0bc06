//! The API: `triggerd sandbox` in a process of its own, never killed while it is needed. What arrived is read from
//! the journal that it keeps. It knows nothing of what is owed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use crate::daemon::{Clock, program};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Call {
    pub(crate) n: u64,
    #[serde(deserialize_with = "instant")]
    pub(crate) at: Timestamp,
    pub(crate) trigger_id: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) body_sha256: String,
    pub(crate) fault: Option<Value>,
    pub(crate) status: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Effect {
    #[serde(deserialize_with = "instant")]
    pub(crate) at: Timestamp,
    pub(crate) trigger_id: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) conversation_key: Option<String>,
    pub(crate) input: String,
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    String::deserialize(from)?
        .parse()
        .map_err(de::Error::custom)
}

pub(crate) struct Api {
    child: Child,
    address: String,
    journal: PathBuf,
}

impl Api {
    pub(crate) fn start(binary: &Path, folder: &Path, clock: &Clock) -> Self {
        let data = folder.join("api");
        let mut command = program(binary, "");
        command
            .args(["sandbox", "--listen", "127.0.0.1:0", "--any-trigger"])
            .args(["--queue-seconds", "0", "--run-seconds", "0"])
            .arg("--data")
            .arg(&data)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        clock.apply(&mut command);
        let mut child = command.spawn().expect("the sandbox starts");
        let greeting = BufReader::new(child.stdout.take().expect("it is piped"));
        let base = greeting
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("base_url = \"http://")?.to_owned()))
            .expect("the sandbox says where it listens");
        Self {
            child,
            address: base.trim_end_matches("/v1\"").to_owned(),
            journal: data.join("journal.jsonl"),
        }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn token(&self, token: &str, revoked: bool) {
        let change = json!({"token": token, "owner": "owner@example.com", "revoked": revoked});
        self.ask("POST", "/tokens", &change.to_string());
    }

    /// A fault as `triggerd sandbox --help` writes it.
    pub(crate) fn fault(&self, fault: &Value) {
        self.ask("POST", "/faults", &fault.to_string());
    }

    pub(crate) fn clear_faults(&self) {
        self.ask("DELETE", "/faults", "");
    }

    pub(crate) fn release(&self) {
        self.ask("POST", "/release", "");
    }

    fn ask(&self, method: &str, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).expect("the sandbox listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        write!(
            stream,
            "{method} /sandbox{path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(
            answer.starts_with("HTTP/1.1 20"),
            "{method} {path}: {answer}"
        );
    }

    /// All that arrived so far, each call as it was last recorded.
    pub(crate) fn record(&self) -> (Vec<Call>, Vec<Effect>) {
        let text = fs::read(&self.journal).unwrap_or_default();
        let mut calls = BTreeMap::new();
        let mut effects = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                break;
            }
            let line: Value = serde_json::from_slice(line).expect("a record");
            match line["record"].as_str() {
                Some("call") => {
                    let call: Call = serde_json::from_value(line).expect("a call");
                    calls.insert(call.n, call);
                }
                Some("effect") => effects.push(serde_json::from_value(line).expect("an effect")),
                _ => {}
            }
        }
        (calls.into_values().collect(), effects)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
