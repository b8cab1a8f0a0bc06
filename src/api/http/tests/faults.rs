//! No answer at all.

use super::*;

#[tokio::test]
async fn a_refused_port_was_never_reached() {
    // Bound and not listened on: the port is ours, and refuses.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let answer = trigger(&settings_for(address)).await;
    assert_failed(&answer, Reached::No);
    assert_snapshot!(answer.detail, @"tcp connect error: Connection refused (os error 111)");
    assert_snapshot!(answer.fix, @"check this machine's network, name resolution and certificates, and `base_url`");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_never_reached() {
    let answer = trigger(&settings("https://api.invalid/v1")).await;
    assert_failed(&answer, Reached::No);
}

/// By the proxy's name, so that a proxy in the environment of the tests makes no difference.
#[tokio::test]
async fn a_proxy_without_address_is_named_without_its_password() {
    let settings = HttpSettings {
        proxy: Some(Secret::new("http://user:pass-canary@proxy.invalid:3128")),
        ..settings("https://api.invalid/v1")
    };
    let answer = trigger(&settings).await;
    assert_failed(&answer, Reached::No);
    assert!(answer.detail.contains("dns error"), "{answer:?}");
    let texts = format!("{answer:?} {settings:?}");
    assert!(!texts.contains("pass-canary"), "it leaks");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_was_as_far_as_it_got() {
    let mut server = Server::answering(response("403 Forbidden", "")).await;
    let proxy = format!("http://user:pass-canary@{}", server.address);
    let answer = trigger(&HttpSettings {
        proxy: Some(Secret::new(proxy)),
        ..settings("https://api.invalid/v1")
    })
    .await;
    assert_failed(&answer, Reached::No);
    assert_snapshot!(answer.detail, @"tunnel error: unsuccessful");
    let requests = server.requests();
    assert!(
        requests[0].starts_with("CONNECT api.invalid:443 "),
        "{requests:?}"
    );
    assert!(!requests.concat().contains(TOKEN), "it leaks");
}

#[tokio::test]
async fn this_machine_is_called_without_the_proxy() {
    let mut proxy = Server::answering(response("502", "")).await;
    let server = Server::answering(response("202", "")).await;
    let answer = trigger(&HttpSettings {
        proxy: Some(Secret::new(format!("http://{}", proxy.address))),
        ..settings_for(server.address)
    })
    .await;
    assert_accepted(&answer, None);
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_handshake_that_hangs_was_never_reached() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.wait_for_hang_up().await;
    })
    .await;
    let (ca, _) = tls::certificate(&["127.0.0.1"], 2099);
    let answer = trigger(&HttpSettings {
        timeout: Duration::from_millis(600),
        ca_file: Some(ca.path().to_owned()),
        ..settings(&format!("https://{}", server.address))
    })
    .await;
    assert_failed(&answer, Reached::No);
    assert_snapshot!(answer.detail, @"no connection: operation timed out");
}

#[tokio::test]
async fn a_reset_before_the_request_is_unknown() {
    let server = Server::start(|peer: Peer| async move { peer.reset() }).await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_failed(&answer, Reached::Unknown);
}

#[tokio::test]
async fn a_reset_after_the_request_is_unknown() {
    let mut server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.reset();
    })
    .await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_failed(&answer, Reached::Unknown);
    assert_snapshot!(answer.detail, @"connection error: Connection reset by peer (os error 104)");
    assert_snapshot!(answer.fix, @"nothing, as it is tried again; where it lasts, ask the API's support with the `x_request_id`, or look at what stands between here and there");
    assert_eq!(server.requests().len(), 1, "one attempt is one call");
}

#[tokio::test]
async fn a_connection_closed_after_the_request_is_unknown() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
    })
    .await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_failed(&answer, Reached::Unknown);
    assert_snapshot!(answer.detail, @"connection closed before message completed");
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_unknown_and_not_repeated() {
    let mut server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write(response("202", "")).await;
        peer.read_request().await;
    })
    .await;
    let api = api(&settings_for(server.address));
    assert_accepted(&api.trigger(request()).await, None);
    assert_failed(&api.trigger(request()).await, Reached::Unknown);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_unknown() {
    let server = Server::answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_failed(&answer, Reached::Unknown);
    assert_snapshot!(answer.detail, @"invalid HTTP version parsed");
}

#[tokio::test]
async fn no_byte_within_the_time_out_is_unknown() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.wait_for_hang_up().await;
    })
    .await;
    let answer = trigger_within(server.address, Duration::from_secs(1)).await;
    assert_failed(&answer, Reached::Unknown);
    assert_snapshot!(answer.detail, @"no answer within 1s");
}

#[tokio::test]
async fn a_head_that_drips_is_bounded_by_the_time_out() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write("HTTP/1.1 202 Accepted\r\nx-drop: ").await;
        let mut drops = tokio::time::interval(Duration::from_millis(20));
        while peer.write("x").await {
            drops.tick().await;
        }
    })
    .await;
    let answer = trigger_within(server.address, Duration::from_secs(1)).await;
    assert_failed(&answer, Reached::Unknown);
}

#[tokio::test]
async fn a_missing_token_is_refused_before_anything_is_sent() {
    let mut server = Server::answering(response("202", "")).await;
    let request = TriggerRequest {
        token: revenue(),
        ..request()
    };
    let answer = api(&settings_for(server.address)).trigger(request).await;
    assert_eq!(answer.outcome, Outcome::TokenRefused { newer_token: false });
    assert_eq!(answer.http_status, None);
    assert_snapshot!(answer.detail, @"environment variable `REVENUE` is not set; put a Workspace Agent access token into it, or name another source under `[token]`");
    assert_snapshot!(answer.fix, @"see that the daemon can read the token from its source");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_key_that_no_header_can_hold_is_rejected_unsent() {
    let mut server = Server::answering(response("202", "")).await;
    let request = TriggerRequest {
        idempotency_key: IdempotencyKey::recorded("a\r\nb"),
        ..request()
    };
    let answer = api(&settings_for(server.address)).trigger(request).await;
    assert_eq!(answer.outcome, Outcome::Rejected);
    assert_snapshot!(answer.detail, @"failed to parse header value");
    assert_eq!(server.requests(), Vec::<String>::new());
}
