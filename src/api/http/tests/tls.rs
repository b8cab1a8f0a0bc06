//! Whom the client trusts.

use std::io::{Read, Write};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A self-signed certificate in a file, which is its own root, and its key as PEM.
pub(super) fn certificate(names: &[&str], last_year: i32) -> (tempfile::NamedTempFile, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let names_text = names.join(", ");
    let mut params = rcgen::CertificateParams::new(names).expect("good names");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, names_text);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let mut file = tempfile::NamedTempFile::new().expect("a file for the test");
    file.write_all(certificate.pem().as_bytes())
        .expect("it is written");
    (file, key.serialize_pem())
}

/// What a server needs to show this certificate and speak these protocols; with none it does not say
/// what it speaks.
pub(super) fn server_config(
    certificate: &Path,
    key: &str,
    protocols: &[&[u8]],
) -> Arc<rustls::ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("good versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    Arc::new(config)
}

/// Serves one call with a 202 and tells what the client asked for: it comes for HTTP/2 first, and once
/// more when that is not spoken here.
fn serve(certificate: &Path, key: &str) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let config = server_config(certificate, key, &[b"http/1.1"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = std::thread::spawn(move || {
        let [_, request] = [(); 2].map(|()| serve_connection(&listener, config.clone()));
        request
    });
    (address, server)
}

fn serve_connection(listener: &std::net::TcpListener, config: Arc<rustls::ServerConfig>) -> String {
    let (stream, _) = listener.accept().expect("the client comes");
    let connection = rustls::ServerConnection::new(config).expect("a good config");
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let mut request = [0; 4096];
    match stream.read(&mut request) {
        Ok(len) => {
            stream
                .write_all(response("202 Accepted", "").as_bytes())
                .expect("the client reads");
            String::from_utf8_lossy(&request[..len]).into_owned()
        }
        Err(_) => String::new(),
    }
}

async fn trigger_over_tls(served: (&Path, &str), trusted: &Path) -> (Answer, String) {
    let (address, server) = serve(served.0, served.1);
    let answer = trigger(&HttpSettings {
        ca_file: Some(trusted.to_owned()),
        ..settings(&format!("https://{address}"))
    })
    .await;
    (answer, server.join().expect("the server ends"))
}

#[tokio::test]
async fn a_ca_file_is_trusted() {
    let (ca, key) = certificate(&["127.0.0.1"], 2099);
    let (answer, request) = trigger_over_tls((ca.path(), &key), ca.path()).await;
    assert_accepted(&answer, None);
    assert!(request.starts_with("POST /workspace_agents/"), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_certificate_was_never_reached_and_is_named() {
    let (other, _) = certificate(&["other.invalid"], 2099);
    let mut details = Vec::new();
    for (names, last_year, trusts_it) in [
        (["127.0.0.1"], 2099, false),
        (["127.0.0.1"], 2001, true),
        (["api.invalid"], 2099, true),
    ] {
        let (ca, key) = certificate(&names, last_year);
        let trusted = if trusts_it { ca.path() } else { other.path() };
        let (answer, request) = trigger_over_tls((ca.path(), &key), trusted).await;
        assert_failed(&answer, Reached::No);
        assert_eq!(request, "", "nothing is sent to whom is not trusted");
        details.push(answer.detail);
    }
    let mut filters = insta::Settings::clone_current();
    filters.add_filter(r"time \d+ \(UNIX\)", "time NOW (UNIX)");
    filters.add_filter(r"\(\d+ seconds ago\)", "(… seconds ago)");
    filters.bind(|| assert_snapshot!(details.join("\n"), @r#"
    invalid peer certificate: UnknownIssuer
    invalid peer certificate: certificate expired: verification time NOW (UNIX), but certificate is not valid after 978307200 (… seconds ago)
    invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("api.invalid")
    "#));
}

#[tokio::test]
async fn plain_http_on_a_tls_port_was_never_reached() {
    let (ca, _) = certificate(&["127.0.0.1"], 2099);
    let server = Server::start(|mut peer: Peer| async move {
        peer.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.wait_for_hang_up().await;
    })
    .await;
    let answer = trigger(&HttpSettings {
        ca_file: Some(ca.path().to_owned()),
        ..settings(&format!("https://{}", server.address))
    })
    .await;
    assert_failed(&answer, Reached::No);
    assert_snapshot!(answer.detail, @"received corrupt message of type InvalidContentType");
}
