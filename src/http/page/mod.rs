//! The pages. They are whole without JavaScript: what the script does is to fetch the same page again
//! and put its main part in place of the old one. Each text goes through the template's escaping.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::desk::{Desk, Unwell};

mod overview;
mod schedule;
mod strip;
pub(super) mod timeline;
mod when;

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", include_str!("../assets/style.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", include_str!("../assets/live.js")));

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    for (name, text) in [
        ("layout", include_str!("templates/layout.html")),
        ("overview", include_str!("templates/overview.html")),
        ("schedule", include_str!("templates/schedule.html")),
    ] {
        let added = environment.add_template(name, text);
        added.expect("the templates are right; the tests render each");
    }
    environment
});

/// A file that the pages use, under a name that changes with what it says.
pub(super) struct Asset {
    path: String,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, kind: &str, text: &'static str) -> Self {
        let hash = Sha256::digest(text);
        let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("/assets/{name}.{hash}.{kind}");
        Self { path, text }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

pub(super) async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        STYLE.text,
    )
}

pub(super) async fn script() -> impl IntoResponse {
    let kind = "text/javascript; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], SCRIPT.text)
}

/// What is asked of the overview.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// Part of a name or description.
    #[serde(default)]
    q: String,
    /// From 1.
    #[serde(default)]
    page: usize,
}

pub(super) async fn overview(
    State(desk): State<Arc<Desk>>,
    Query(wanted): Query<Wanted>,
) -> Result<Html<String>, Unwell> {
    let wanted = Wanted {
        q: wanted.q.chars().take(64).collect(),
        page: wanted.page.max(1),
    };
    let seen = desk.see().await?;
    let timeline = desk.timeline().await?;
    let name = format!("/?page={}&q={}", wanted.page, wanted.q);
    let made = async {
        let text = desk.office.read_if_there(move |ledger| {
            let ledger = ledger.ok().flatten();
            overview::text(&seen, &timeline, ledger.as_ref(), &wanted)
        });
        Ok(text.await??)
    };
    Ok(Html(desk.text(name, made).await?.to_string()))
}

pub(super) async fn schedule(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
) -> Result<Response, Unwell> {
    let seen = desk.see().await?;
    let schedules = &seen.looked.standing.agenda.schedules;
    let Ok(place) = schedules.binary_search_by(|it| it.schedule.id.as_str().cmp(&name)) else {
        let said =
            format!("there is no schedule `{name}` in force; `triggerd history` may know it\n");
        return Ok((StatusCode::NOT_FOUND, said).into_response());
    };
    let made = async {
        let text = desk.office.read_if_there(move |ledger| {
            schedule::text(&seen, place, ledger.ok().flatten().as_ref())
        });
        Ok(text.await??)
    };
    let text = desk.text(format!("/schedules/{name}"), made).await?;
    Ok(Html(text.to_string()).into_response())
}

pub(super) async fn status(State(desk): State<Arc<Desk>>) -> Result<Response, Unwell> {
    let seen = desk.see().await?;
    Ok(Json(&seen.status).into_response())
}

pub(super) async fn nothing_here() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "there is no such page; go to /\n")
}

/// One page, with all around it. `change` is the last one that shows in it.
fn render(template: &str, title: &str, change: u64, view: &impl Serialize) -> String {
    let fill = |name: &str, values: Value| {
        let template = TEMPLATES.get_template(name)?;
        template.render(values)
    };
    let page = fill(template, Value::from(Serde(view))).and_then(|main| {
        let main = Value::from_safe_string(main);
        let (style, script) = (STYLE.path(), SCRIPT.path());
        let version = env!("CARGO_PKG_VERSION");
        fill(
            "layout",
            context! { title, change, main, style, script, version },
        )
    });
    page.expect("the templates fit their values; the tests render each")
}
