//! The other end of the control socket: what commands ask a running daemon. It knows no command.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::{Ended, Refusal, Told};

/// Asks whoever listens on one socket.
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No daemon listens there.
    #[error("no daemon listens on `{}`: start it, or name its socket under `[control]`", .0.display())]
    Nobody(PathBuf),
    /// It is not this process's to ask.
    #[error("the daemon on `{}` may not be asked by this user: join its group, or use sudo", .0.display())]
    NotAllowed(PathBuf),
    /// There is no such thing.
    #[error("{}", .0.as_deref().unwrap_or("the daemon knows no such thing"))]
    NotFound(Option<String>),
    #[error("{0}")]
    Refused(String),
    /// It stopped before it answered.
    #[error("the daemon stopped before it answered")]
    Stopped,
    #[error("the daemon's answer can't be read: is it of another version?")]
    Unreadable(#[source] serde_json::Error),
    #[error("the client can't be made")]
    Client(#[source] reqwest::Error),
}

impl Client {
    /// # Errors
    /// If there can't be such a client.
    pub fn new(socket: &Path) -> Result<Self, AskError> {
        crate::api::http::provide_cryptography();
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .tls_certs_only([])
            .build()
            .map_err(AskError::Client)?;
        Ok(Self {
            http,
            socket: socket.to_owned(),
        })
    }

    /// # Errors
    /// If it is not answered.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        read(&self.send(self.http.get(url(path))).await?)
    }

    /// Asks for a delivery, and passes on what is told of it until it has ended.
    ///
    /// # Errors
    /// If it is not begun, or the daemon stops before its end.
    pub async fn deliver(
        &self,
        path: &str,
        mut tell: impl FnMut(&Told),
    ) -> Result<Ended, AskError> {
        let mut answer = self.answer(self.http.post(url(path))).await?;
        let mut unread = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| AskError::Stopped)? {
            unread.extend_from_slice(&chunk);
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                let told = read(&line)?;
                tell(&told);
                if let Told::Ended(ended) = told {
                    return Ok(ended);
                }
            }
        }
        Err(AskError::Stopped)
    }

    /// Orders something that has no answer but that it was done.
    ///
    /// # Errors
    /// If it is not done.
    pub async fn order(&self, path: &str, order: &impl Serialize) -> Result<(), AskError> {
        let body = serde_json::to_vec(order).map_err(AskError::Unreadable)?;
        let post = self.http.post(url(path));
        let post = post.header("content-type", "application/json").body(body);
        self.send(post).await.map(drop)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, AskError> {
        let body = self.answer(request).await?.bytes().await;
        Ok(body.map_err(|_| AskError::Stopped)?.to_vec())
    }

    /// One that says that it was done, or will be.
    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, AskError> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Err(self.nobody()),
            Err(_) => return Err(AskError::Stopped),
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|_| AskError::Stopped)?;
        let refusal = || {
            serde_json::from_slice(&body)
                .ok()
                .map(|it: Refusal| it.error)
        };
        match status {
            reqwest::StatusCode::NOT_FOUND => Err(AskError::NotFound(refusal())),
            reqwest::StatusCode::SERVICE_UNAVAILABLE => Err(AskError::Stopped),
            status => Err(AskError::Refused(
                refusal().unwrap_or_else(|| format!("the daemon answered {status}")),
            )),
        }
    }

    /// Whether somebody listens, whom this process may ask.
    pub fn is_answered(&self) -> bool {
        std::os::unix::net::UnixStream::connect(&self.socket).is_ok()
    }

    fn nobody(&self) -> AskError {
        let socket = self.socket.clone();
        match std::os::unix::net::UnixStream::connect(&self.socket) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                AskError::NotAllowed(socket)
            }
            _ => AskError::Nobody(socket),
        }
    }
}

fn url(path: &str) -> String {
    format!("http://triggerd{path}")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AskError> {
    serde_json::from_slice(body).map_err(AskError::Unreadable)
}
