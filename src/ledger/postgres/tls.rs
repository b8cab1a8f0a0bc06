//! TLS to the database by rustls: its certificate must be valid for the host's name.
//! It knows nothing of what is said.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::trouble::Trouble;

#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// The system's roots, and those in `ca_file`.
    pub(super) fn trusting(ca_file: Option<&Path>) -> Result<Self, Trouble> {
        let no_roots = |cause: String| Trouble::NoRoots {
            place: ca_file.map_or("the system's certificates".to_owned(), |path| {
                format!("`{}`", path.display())
            }),
            cause,
        };
        let trusted = match ca_file {
            None => Vec::new(),
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| no_roots(error.to_string()))?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            Verifier::new_with_extra_roots(trusted, provider.clone()).and_then(|verifier| {
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()?
                    // Nothing is weaker for it: it is how a verifier is given that knows the system's roots.
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_no_client_auth();
                Ok(config)
            });
        let config = config.map_err(|error| no_roots(error.to_string()))?;
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = Infallible;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake {
            connector: TlsConnector::from(self.config.clone()),
            host: domain.to_owned(),
        })
    }
}

pub(super) struct Handshake {
    connector: TlsConnector,
    /// Empty for a socket, which is not encrypted.
    host: String,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
            let stream = self.connector.connect(name, stream).await?;
            Ok(Encrypted(stream))
        })
    }
}

pub(super) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use rustls::pki_types::PrivateKeyDer;

    use crate::ledger::Database;
    use crate::ledger::postgres::connection::Connection;

    use super::*;

    /// A certificate for `localhost` in a file, and its key.
    fn certificate() -> (tempfile::NamedTempFile, PrivateKeyDer<'static>) {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        (file, key)
    }

    /// What a server hears that answers so when it is asked for TLS, and what the client says of it.
    fn told_a_server(answer: u8, is_trusted: bool) -> (String, String) {
        let (file, key) = certificate();
        let chain = vec![CertificateDer::from_pem_file(file.path()).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(&[answer]).unwrap();
            let mut heard = [0; 1024];
            let length = if answer == b'S' {
                let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
                rustls::StreamOwned::new(connection, stream).read(&mut heard)
            } else {
                stream.read(&mut heard)
            };
            String::from_utf8_lossy(&heard[..length.unwrap_or(0)]).into_owned()
        });
        let url =
            format!("postgres://watchman@localhost:{port}/t?hostaddr=127.0.0.1&sslmode=require");
        let ca_file = is_trusted.then(|| file.path().to_owned());
        let database = Database::parse(&url, None, ca_file).unwrap();
        let error = Connection::open(&database).err().unwrap();
        (server.join().unwrap(), error.to_string())
    }

    #[test]
    fn a_server_hears_who_comes_once_its_certificate_is_trusted() {
        let (heard, _) = told_a_server(b'S', true);
        assert!(heard.contains("watchman"), "{heard}");
    }

    #[test]
    fn a_server_that_is_not_trusted_hears_nothing() {
        let (heard, error) = told_a_server(b'S', false);
        assert_eq!(heard, "");
        assert!(error.contains("certificate"), "{error}");
    }

    #[test]
    fn a_server_without_tls_hears_nothing() {
        let (heard, error) = told_a_server(b'N', true);
        assert_eq!(heard, "");
        assert!(error.contains("TLS"), "{error}");
    }
}
