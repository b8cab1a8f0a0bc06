//! What is wrong with a file, as plain data: found by the readers, drawn by `render`, logged by the
//! daemon. It knows no renderer.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::api::token::hide_tokens;

/// One thing that the person who wrote the file should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    pub severity: Severity,
    /// The bytes of the file that it is about; `None` if it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// Value, then rule; lower case, no full stop. A token that was put into the file shows in no problem.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not put into force.
    Error,
    /// Probably a mistake.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

impl Problem {
    pub fn error(path: &Path, message: impl Into<String>) -> Self {
        Self::new(path, Severity::Error, message)
    }

    pub fn warning(path: &Path, message: impl Into<String>) -> Self {
        Self::new(path, Severity::Warning, message)
    }

    pub fn note(path: &Path, message: impl Into<String>) -> Self {
        Self::new(path, Severity::Note, message)
    }

    fn new(path: &Path, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            severity,
            span: None,
            message: hide_tokens(&message.into()).into_owned(),
            help: None,
        }
    }

    #[must_use]
    pub fn at(self, span: impl Into<Option<Range<usize>>>) -> Self {
        Self {
            span: span.into(),
            ..self
        }
    }

    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(hide_tokens(&help.into()).into_owned()),
            ..self
        }
    }
}

/// Whether a file with these problems can be put into force.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
}
