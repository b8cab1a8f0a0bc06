//! Bodies that come slowly, badly or for ever.

use std::time::Instant;

use super::*;

const HEAD: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 100000000\r\n\r\n";

#[tokio::test]
async fn a_body_that_hangs_is_an_acceptance() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write(HEAD).await;
        peer.wait_for_hang_up().await;
    })
    .await;
    assert_accepted(
        &trigger_within(server.address, Duration::from_secs(1)).await,
        None,
    );
}

#[tokio::test]
async fn a_body_that_drips_is_an_acceptance() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write(HEAD).await;
        let mut drops = tokio::time::interval(Duration::from_millis(20));
        while peer.write(" ").await {
            drops.tick().await;
        }
    })
    .await;
    let started = Instant::now();
    assert_accepted(
        &trigger_within(server.address, Duration::from_secs(1)).await,
        None,
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_body_without_end_is_an_acceptance_and_left_at_once() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write(HEAD).await;
        while peer.write([b' '; 8192]).await {}
    })
    .await;
    // Only the limit ends it: both time-outs are far away or would show as lost time.
    let started = Instant::now();
    assert_accepted(&trigger(&settings_for(server.address)).await, None);
    assert!(started.elapsed() < LONGEST_BODY_READ);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_read_as_far_as_it_came() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write(HEAD).await;
        peer.write(r#"{"conversation_url":"https://chatgpt.com/c/1"}"#)
            .await;
    })
    .await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_accepted(&answer, Some("https://chatgpt.com/c/1"));
}

#[tokio::test]
async fn a_refusal_whose_body_is_reset_is_the_refusal() {
    let server = Server::start(|mut peer: Peer| async move {
        peer.read_request().await;
        peer.write("HTTP/1.1 409 Conflict\r\ncontent-length: 50\r\n\r\nnot")
            .await;
        peer.reset();
    })
    .await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_eq!(answer.outcome, Outcome::NotRunnable);
}
