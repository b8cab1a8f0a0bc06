use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::{Error, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use triggerd::api::wire::TriggerAccepted;
use triggerd::sandbox::{Fault, FaultKind, RetryAfter, Route, Settings, TOKEN, TRIGGER_ID, When};

use super::{Lab, quick};

fn status(status: u16) -> FaultKind {
    FaultKind::Status {
        status,
        retry_after: None,
    }
}

/// Whether an answer failed because the peer sent a TCP reset.
fn is_reset(error: &Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionReset
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test]
async fn statuses_for_the_next_calls_then_none() {
    let lab = Lab::new().await;
    lab.sandbox.fault(Fault::from(status(409)).times(2));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(lab.trigger().key("k").send().await.status.as_u16());
    }
    assert_eq!(statuses, [409, 409, 202]);
    let calls = lab.sandbox.calls();
    assert_eq!(calls[1].fault, Some(status(409)));
    assert_eq!(calls[2].fault, None);
}

#[tokio::test]
async fn each_status_speaks_in_its_known_words() {
    let lab = Lab::new().await;
    for (code, kind, error_code) in [
        (401, "invalid_request_error", Some("invalid_api_key")),
        (408, "invalid_request_error", None),
        (422, "invalid_request_error", None),
        (429, "rate_limit_error", Some("rate_limit_exceeded")),
        (500, "server_error", None),
        (502, "server_error", None),
        (503, "service_unavailable_error", None),
        (504, "server_error", None),
        (520, "server_error", None),
    ] {
        lab.sandbox.fault(Fault::from(status(code)).times(1));
        lab.trigger().send().await.check(code, kind, error_code);
    }
    assert_eq!(lab.sandbox.effects(), []);
}

#[tokio::test]
async fn retry_after_in_seconds_as_a_date_and_as_nonsense() {
    let lab = Lab::new().await;
    let retry_after = async |retry_after| {
        let fault = FaultKind::Status {
            status: 503,
            retry_after: Some(retry_after),
        };
        lab.sandbox.fault(Fault::from(fault).times(1));
        lab.trigger().send().await.header("retry-after").to_owned()
    };
    assert_eq!(retry_after(RetryAfter::Seconds(7)).await, "7");
    assert_eq!(
        retry_after(RetryAfter::Text("soon".to_owned())).await,
        "soon"
    );

    let before = Timestamp::now();
    let date = retry_after(RetryAfter::DateIn(60)).await;
    let at = rfc2822::parse(&date).expect("a date").timestamp();
    let seconds = at.duration_since(before).as_secs();
    assert!((59..=80).contains(&seconds), "{date}");
}

#[tokio::test]
async fn a_known_key_is_refused_as_well() {
    let lab = Lab::new().await;
    lab.trigger().key("k").send().await.check_accepted();
    lab.sandbox.fault(Fault::from(status(429)).times(1));
    assert_eq!(lab.trigger().key("k").send().await.status, 429);
    assert_eq!(lab.trigger().key("k").send().await.status, 202);
    assert_eq!(lab.sandbox.effects().len(), 1);
}

#[tokio::test]
async fn a_gateways_403_is_html() {
    let lab = Lab::new().await;
    lab.sandbox.fault(FaultKind::Html403);
    let answer = lab.trigger().token(None).send().await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.text.starts_with("<!DOCTYPE html>"));
    assert_eq!(lab.sandbox.calls()[0].status, Some(403));
}

#[tokio::test]
async fn a_redirect_points_elsewhere() {
    let lab = Lab::new().await;
    lab.sandbox.fault(FaultKind::Redirect {
        status: 307,
        to: "http://127.0.0.2:9/v1/".to_owned(),
    });
    let answer = lab.trigger().send().await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), "http://127.0.0.2:9/v1/");
    assert_eq!(lab.sandbox.effects(), []);
}

#[tokio::test]
async fn a_202_with_junk_nothing_or_too_much_is_an_acceptance() {
    let lab = Lab::new().await;
    for (kind, length) in [
        (FaultKind::Junk, 26),
        (FaultKind::Empty, 0),
        (FaultKind::Huge { bytes: 3 << 20 }, 3 << 20),
    ] {
        lab.sandbox.fault(Fault::from(kind.clone()).times(1));
        let answer = lab.trigger().send().await;
        answer.check_accepted();
        assert_eq!(answer.text.len(), length, "{kind:?}");
        let read = TriggerAccepted::read(answer.text.as_bytes());
        assert_eq!(read, TriggerAccepted::default());
    }
    assert_eq!(lab.sandbox.effects().len(), 3);
}

#[tokio::test]
async fn a_reset_before_the_queue_leaves_no_effect_and_after_it_one() {
    let lab = Lab::new().await;
    for (when, effects) in [(When::Before, 0), (When::After, 1)] {
        lab.sandbox
            .fault(Fault::from(FaultKind::Reset { when }).times(1));
        let error = lab
            .trigger()
            .key("k")
            .request()
            .send()
            .await
            .expect_err("a reset");
        assert!(is_reset(&error), "{error:?}");
        assert_eq!(lab.sandbox.effects().len(), effects);
    }
    lab.trigger().key("k").send().await.check_accepted();
    let calls = lab.sandbox.calls();
    let outcomes: Vec<_> = calls
        .iter()
        .map(|call| (call.status, call.effect))
        .collect();
    assert_eq!(
        outcomes,
        [(None, false), (Some(202), true), (Some(202), false)]
    );
}

#[tokio::test]
async fn a_hang_gives_no_byte_until_the_client_gives_up() {
    let lab = Lab::new().await;
    for (when, effects) in [(When::Before, 0), (When::After, 1)] {
        lab.sandbox
            .fault(Fault::from(FaultKind::Hang { when }).times(1));
        let call = lab.trigger().request().timeout(Duration::from_millis(300));
        let error = call.send().await.expect_err("no answer");
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(lab.sandbox.effects().len(), effects);
    }
}

#[tokio::test]
async fn a_held_answer_waits_for_its_release() {
    let lab = Lab::new().await;
    lab.sandbox
        .fault(Fault::from(FaultKind::Hold { when: When::Before }).times(1));
    lab.sandbox
        .fault(Fault::from(FaultKind::Hold { when: When::After }).times(1));

    let before = lab.trigger().key("a").spawn();
    lab.sandbox.until_calls(1).await;
    assert_eq!(lab.sandbox.effects(), []);
    let after = lab.trigger().key("b").spawn();
    lab.sandbox.until_effects(1).await;
    // A call that meets no fault passes the held ones.
    lab.trigger().key("c").send().await.check_accepted();
    assert!(!before.is_finished() && !after.is_finished());

    let released = lab.inspect(Method::POST, "/release", None).await;
    assert_eq!(released.status, 204);
    for held in [before, after] {
        let response = held.await.expect("no panic").expect("an answer");
        assert_eq!(response.status(), 202);
    }
    assert_eq!(lab.sandbox.effects().len(), 3);
}

#[tokio::test]
async fn a_client_that_dies_while_held_before_the_queue_leaves_no_effect() {
    let lab = Lab::new().await;
    lab.sandbox
        .fault(Fault::from(FaultKind::Hold { when: When::Before }).times(1));
    let call = lab.trigger().key("k").spawn();
    lab.sandbox.until_calls(1).await;
    call.abort();
    assert!(call.await.expect_err("it was aborted").is_cancelled());
    lab.trigger().key("k").send().await.check_accepted();
    assert_eq!(lab.sandbox.effects()[0].call, 2);
}

#[tokio::test]
async fn a_delay_comes_after_the_queue() {
    let lab = Lab::new().await;
    lab.sandbox
        .fault(Fault::from(FaultKind::Delay { ms: 200 }).times(1));
    let begun = Instant::now();
    lab.trigger().send().await.check_accepted();
    assert!(begun.elapsed() >= Duration::from_millis(200));

    lab.sandbox.fault(FaultKind::Delay { ms: 60_000 });
    let call = lab.trigger().spawn();
    lab.sandbox.until_effects(2).await;
    call.abort();
}

#[tokio::test]
async fn acceptance_takes_as_long_as_set() {
    let delay = Duration::from_millis(50);
    let lab = Lab::with(&Settings {
        acceptance_delay: delay..=delay * 2,
        ..quick()
    })
    .await;
    let begun = Instant::now();
    lab.trigger().send().await.check_accepted();
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn a_drip_is_one_byte_a_second_from_the_status_line_on() {
    let lab = Lab::new().await;
    lab.sandbox.fault(FaultKind::Drip);
    let address = lab.sandbox.root_url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "POST /v1/workspace_agents/{TRIGGER_ID}/trigger HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: 13\r\n\r\n{{\"input\":\"x\"}}"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let mut bytes = [0; 16];
    assert_eq!(stream.read(&mut bytes).await.expect("a byte"), 1);
    let begun = Instant::now();
    assert_eq!(stream.read(&mut bytes).await.expect("a byte"), 1);
    assert_eq!(bytes[0], b'T');
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert_eq!(lab.sandbox.effects().len(), 1);
}

#[tokio::test]
async fn faults_come_and_go_over_the_inspection_route() {
    let lab = Lab::new().await;
    let fault = json!({
        "kind": "status", "status": 429, "retry_after": { "seconds": 3 }, "contains": "DEMO-2",
    });
    let added = lab.inspect(Method::POST, "/faults", Some(fault)).await;
    assert_eq!(added.status, 200, "{}", added.text);
    assert_eq!(lab.trigger().event("DEMO-1").send().await.status, 202);
    for _ in 0..2 {
        let refused = lab.trigger().event("DEMO-2").send().await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.header("retry-after"), "3");
    }
    let cleared = lab.inspect(Method::DELETE, "/faults", None).await;
    assert_eq!(cleared.json(), json!([]));
    assert_eq!(lab.trigger().event("DEMO-2").send().await.status, 202);

    let unknown = json!({ "kind": "earthquake" });
    let answer = lab.inspect(Method::POST, "/faults", Some(unknown)).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("html403"), "{}", answer.text);
    let misspelt = json!({ "kind": "drip", "cals": 1 });
    let answer = lab.inspect(Method::POST, "/faults", Some(misspelt)).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("no `cals`"), "{}", answer.text);
    assert_eq!(
        lab.inspect(Method::GET, "/faults", None).await.json(),
        json!([])
    );
}

#[tokio::test]
async fn faults_strike_the_run_status_where_they_are_asked_to() {
    let lab = Lab::new().await;
    let run_id = lab.trigger().beta().send().await.run_id();
    lab.sandbox
        .fault(Fault::from(status(503)).on(Route::Runs).times(1));
    lab.trigger().send().await.check_accepted();
    let poll = async || lab.run(TRIGGER_ID, &run_id, TOKEN).await.status.as_u16();
    assert_eq!((poll().await, poll().await), (503, 200));
}

#[tokio::test]
async fn a_shutdown_ends_what_hangs_and_frees_the_port() {
    let lab = Lab::new().await;
    let address = lab.sandbox.root_url().replace("http://", "");
    lab.sandbox.fault(FaultKind::Hang { when: When::Before });
    let call = lab.trigger().spawn();
    lab.sandbox.until_calls(1).await;
    lab.sandbox.shutdown().await;
    let error = call.await.expect("no panic").expect_err("no answer");
    assert!(is_reset(&error), "{error:?}");
    let refused = TcpStream::connect(address)
        .await
        .expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
