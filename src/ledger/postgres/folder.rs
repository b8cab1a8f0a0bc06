//! What a node keeps in its state folder although the ledger is in a database: its name, and what
//! was paused when the database was last heard.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ledger::LedgerError;
use crate::ledger::values::scope_name;
use crate::plan::pause::{Pause, Pauses, Scope};
use crate::schedule::ScheduleId;

pub(super) struct NodeFolder {
    path: PathBuf,
}

impl NodeFolder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The same for as long as the folder is there, on one host: a copy of it is another node.
    pub(super) fn name(&self, host: &str) -> Result<String, LedgerError> {
        let path = self.path.join("node");
        if let Ok(kept) = fs::read_to_string(&path) {
            return Ok(format!("{host}/{}", kept.trim()));
        }
        let mut bytes = [0; 8];
        let made = File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut bytes))
            .and_then(|()| {
                let id = format!("{:016x}", u64::from_be_bytes(bytes));
                fs::write(&path, &id)?;
                Ok(id)
            });
        match made {
            Ok(id) => Ok(format!("{host}/{id}")),
            Err(error) => Err(LedgerError::NotPrepared {
                path,
                cause: error.to_string(),
                way_out: "give the state folder and its files to the user that runs triggerd"
                    .to_owned(),
            }),
        }
    }

    /// For a start without the database. If it fails, such a start knows none.
    pub(super) fn keep_pauses(&self, pauses: &Pauses) {
        let kept: Vec<_> = pauses
            .iter()
            .map(|(scope, pause)| {
                json!({
                    "schedule": scope_name(scope),
                    "since": pause.since,
                    "until": pause.until,
                    "reason": pause.reason,
                })
            })
            .collect();
        let path = self.path.join("pauses.json");
        let beside = self.path.join("pauses.json.new");
        let written = File::create(&beside)
            .and_then(|mut file| file.write_all(Value::from(kept).to_string().as_bytes()))
            .and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            tracing::warn!(
                path = %path.display(),
                %error,
                "what is paused can't be kept here: a start without the database would not know it"
            );
        }
    }

    pub(super) fn pauses(&self) -> Pauses {
        let mut pauses = Pauses::default();
        let text = fs::read(self.path.join("pauses.json")).unwrap_or_default();
        let kept: Vec<Value> = serde_json::from_slice(&text).unwrap_or_default();
        for pause in kept {
            if let Some((scope, pause)) = read(&pause) {
                pauses.put(scope, pause);
            }
        }
        pauses
    }
}

fn read(kept: &Value) -> Option<(Scope, Pause)> {
    let scope = match kept["schedule"].as_str()? {
        "" => Scope::All,
        name => Scope::Schedule(ScheduleId::parse(name).ok()?),
    };
    let instant = |value: &Value| -> Option<Timestamp> { value.as_str()?.parse().ok() };
    let pause = Pause {
        since: instant(&kept["since"])?,
        until: instant(&kept["until"]),
        reason: kept["reason"].as_str().map(str::to_owned),
    };
    Some((scope, pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_come_back_as_they_were_kept() {
        let state = tempfile::tempdir().unwrap();
        let folder = NodeFolder::new(state.path());
        assert_eq!(folder.pauses(), Pauses::default());
        let mut pauses = Pauses::default();
        let since = "2026-11-23T08:00:00.123456789Z".parse().unwrap();
        let pause = Pause {
            since,
            until: None,
            reason: Some("maintenance".into()),
        };
        pauses.put(Scope::All, pause.clone());
        let id = ScheduleId::parse("a").unwrap();
        let until = Some("2026-11-23T09:00:00Z".parse().unwrap());
        pauses.put(Scope::Schedule(id), Pause { until, ..pause });
        folder.keep_pauses(&pauses);
        assert_eq!(folder.pauses(), pauses);
    }

    #[test]
    fn a_node_keeps_its_name_and_a_copy_elsewhere_has_another() {
        let state = tempfile::tempdir().unwrap();
        let folder = NodeFolder::new(state.path());
        let name = folder.name("one").unwrap();
        assert_eq!(folder.name("one").unwrap(), name);
        assert_ne!(folder.name("two").unwrap(), name);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(NodeFolder::new(other.path()).name("one").unwrap(), name);
    }
}
