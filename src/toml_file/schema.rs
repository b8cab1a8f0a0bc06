//! The JSON Schema of a file, made of the keys and types that its reader asks for: the two can't
//! differ. It knows no key by name, and judges no file: an editor does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What a key's value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Flag,
    /// 1 or more.
    Count,
    /// `"1h30m"`.
    Length,
    Date,
    DateTime,
    /// A date, with a time or without.
    Instant,
    /// A list, or a single one of it.
    List(&'static Kind),
    Table,
    /// Tables alike, by names that the user chose.
    NamedTables,
}

/// What is said of a key beyond its type: a sentence, and further keywords of JSON Schema.
pub type About = (&'static str, &'static str, Value);

/// The name that stands for all that a user may choose.
pub const ANY_NAME: &str = "NAME";

/// What a reader knows, and what is said of it.
pub struct Schema<'a> {
    pub keys: &'a BTreeMap<String, Kind>,
    pub about: &'a BTreeMap<String, (&'static str, Value)>,
}

impl Schema<'_> {
    /// The file as a whole. Draft 7 is what editors of TOML understand.
    pub fn file(&self, title: &str, description: &str, rules: Value) -> Value {
        let top = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": title,
            "description": description,
        });
        merged([top, self.table(""), rules])
    }

    fn table(&self, prefix: &str) -> Value {
        let mut properties = Map::new();
        for (name, kind) in self.keys {
            let key = name.strip_prefix(prefix);
            if let Some(key) = key.filter(|key| !key.contains('.')) {
                properties.insert(key.to_owned(), self.key(name, *kind));
            }
        }
        json!({ "type": "object", "additionalProperties": false, "properties": properties })
    }

    fn key(&self, name: &str, kind: Kind) -> Value {
        let value = match kind {
            Kind::Table => self.table(&format!("{name}.")),
            Kind::NamedTables => json!({
                "type": "object",
                "additionalProperties": self.key(&format!("{name}.{ANY_NAME}"), Kind::Table),
            }),
            _ => of_value(kind),
        };
        match self.about.get(name) {
            Some((description, more)) => {
                merged([value, json!({ "description": description }), more.clone()])
            }
            None => value,
        }
    }
}

/// Dates stand in TOML without quotes; validators get them as strings.
fn of_value(kind: Kind) -> Value {
    const DATE: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
    const TIME: &str = "[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?";
    let text = |pattern: String| json!({ "type": "string", "pattern": pattern });
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        Kind::Length => text("^([0-9]+(ms|s|m|h|d|w))+$".into()),
        Kind::Date => text(format!("^{DATE}$")),
        Kind::DateTime => text(format!("^{DATE}{TIME}$")),
        Kind::Instant => text(format!("^{DATE}({TIME})?$")),
        Kind::List(item) => {
            let item = of_value(*item);
            json!({ "anyOf": [item, { "type": "array", "items": item }] })
        }
        Kind::Table | Kind::NamedTables => json!({ "type": "object" }),
    }
}

fn merged<const N: usize>(parts: [Value; N]) -> Value {
    let mut whole = Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            whole.extend(part);
        }
    }
    Value::Object(whole)
}

/// No two of these keys together.
pub fn not_both(pairs: &[[&str; 2]]) -> Value {
    let rules: Vec<Value> = pairs
        .iter()
        .map(|pair| json!({ "not": { "required": pair } }))
        .collect();
    json!({ "allOf": rules })
}
