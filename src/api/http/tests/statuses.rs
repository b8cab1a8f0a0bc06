//! Every status, its class and its way out.

use super::*;

async fn line(head: &str, body: &str) -> String {
    let server = Server::answering(response(head, body)).await;
    let answer = trigger(&settings_for(server.address)).await;
    let status = answer.http_status.expect("an answer came");
    let what = match &answer.outcome {
        Outcome::Accepted(acceptance) => format!(
            "accepted url={} run={}",
            acceptance.conversation_url.as_deref().unwrap_or("-"),
            acceptance.run_id.as_deref().unwrap_or("-"),
        ),
        Outcome::RateLimited(retry_after) | Outcome::Failed { retry_after, .. } => {
            match retry_after {
                None => answer.outcome.word().to_owned(),
                Some(RetryAfter::Delay(delay)) => {
                    format!("{} after {delay:?}", answer.outcome.word())
                }
                Some(RetryAfter::At(at)) => format!("{} at {at}", answer.outcome.word()),
            }
        }
        outcome => outcome.word().to_owned(),
    };
    let id = answer.x_request_id.as_deref().unwrap_or("-");
    let id = if id == "-" {
        String::new()
    } else {
        format!(" ({id})")
    };
    let detail = Some(answer.detail.as_str()).filter(|detail| !detail.is_empty());
    format!("{status}{id}: {what}: {}", detail.unwrap_or("-"))
}

async fn table(cases: &[(&str, &str)]) -> String {
    let mut lines = Vec::new();
    for (head, body) in cases {
        lines.push(line(head, body).await);
    }
    lines.join("\n")
}

#[tokio::test]
async fn a_202_is_accepted_whatever_its_body() {
    let cases = [
        ("202 Accepted", ""),
        ("202 Accepted\r\nx-request-id: req_1", "{}"),
        (
            "202 Accepted",
            r#"{"conversation_url":"https://chatgpt.com/c/1"}"#,
        ),
        (
            "202 Accepted",
            r#"{"conversation_url":"https://chatgpt.com/c/1","agent_trigger_run_id":"apirun_1"}"#,
        ),
        (
            "202 Accepted",
            r#"{"conversation_url":7,"agent_trigger_run_id":"apirun_1","new":{}}"#,
        ),
        (
            "202 Accepted",
            r#"{"conversation_url":"https://x/at-canary-7d1f0c52b9","agent_trigger_run_id":"a b"}"#,
        ),
        ("202 Accepted", "<html>accepted</html>"),
        ("202 Accepted", r#"{"conversation_url":"https"#),
        ("202", "[]"),
    ];
    assert_snapshot!(table(&cases).await, @"
    202: accepted url=- run=-: -
    202 (req_1): accepted url=- run=-: -
    202: accepted url=https://chatgpt.com/c/1 run=-: -
    202: accepted url=https://chatgpt.com/c/1 run=apirun_1: -
    202: accepted url=- run=apirun_1: -
    202: accepted url=- run=-: -
    202: accepted url=- run=-: -
    202: accepted url=- run=-: -
    202: accepted url=- run=-: -
    ");
}

#[tokio::test]
async fn every_other_status_has_its_class() {
    let cases = [
        ("200 OK", ""),
        ("201 Created", r#"{"conversation_url":"c"}"#),
        ("204 No Content", ""),
        (
            "400 Bad Request",
            r#"{"error":{"message":"body.input Field required","type":"invalid_request_error","param":null,"code":null}}"#,
        ),
        (
            "401 Unauthorized",
            r#"{"error":{"message":"Incorrect API key provided: at-canary-7d1f0c52b9.","code":"invalid_api_key"}}"#,
        ),
        (
            "401 Unauthorized",
            r#"{"error":{"code":"missing_api_key"}}"#,
        ),
        ("402 Payment Required", ""),
        (
            "403 Forbidden",
            "<html>\r\n<head><title>403 Forbidden</title></head>\r\n</html>",
        ),
        ("404 Not Found", r#"{"error":"no such trigger"}"#),
        ("405 Method Not Allowed", ""),
        ("407 Proxy Authentication Required", "log in"),
        ("408 Request Timeout", ""),
        (
            "409 Conflict\r\nx-request-id: req_2",
            r#"{"error":{"message":"The workspace agent trigger is not currently available."}}"#,
        ),
        ("413 Payload Too Large", "too large"),
        (
            "422 Unprocessable",
            r#"{"detail":[{"loc":["body"],"input":"Summarise the tickets of last week."}]}"#,
        ),
        ("425 Too Early", ""),
        (
            "429 Too Many Requests\r\nretry-after: 7",
            r#"{"error":{"message":"Rate limit reached","type":"rate_limit_error","code":"rate_limit_exceeded"}}"#,
        ),
        ("429 Too Many Requests\r\nretry-after: soon", ""),
        ("499 Client Closed Request", ""),
        ("500 Internal Server Error", ""),
        ("502 Bad Gateway", "line one\nline\ttwo\u{0}\u{202e}"),
        (
            "503 Service Unavailable\r\nretry-after: Mon, 23 Nov 2026 08:00:30 GMT",
            "",
        ),
        ("504 Gateway Timeout\r\nretry-after: 99999999999", ""),
        ("520 Web Server Returned an Unknown Error", ""),
        ("529 Overloaded", ""),
        ("799 Nonsense", ""),
    ];
    assert_snapshot!(table(&cases).await, @r#"
    200: rejected: -
    201: rejected: {"conversation_url":"c"}
    204: rejected: -
    400: rejected: body.input Field required
    401: token_refused: Incorrect API key provided: ***. (invalid_api_key)
    401: token_refused: missing_api_key
    402: rejected: -
    403: trigger_refused: <html> <head><title>403 Forbidden</title></head> </html>
    404: trigger_refused: {"error":"no such trigger"}
    405: rejected: -
    407: unknown: log in
    408: unknown: -
    409 (req_2): not_runnable: The workspace agent trigger is not currently available.
    413: rejected: too large
    422: rejected: {"detail":[{"loc":["body"],"input":"***"}]}
    425: unknown: -
    429: rate_limited after 7s: Rate limit reached (rate_limit_exceeded)
    429: rate_limited: -
    499: rejected: -
    500: unknown: -
    502: unknown: line one line two
    503: failed at 2026-11-23T08:00:30Z: -
    504: unknown after 86400s: -
    520: unknown: -
    529: unknown: -
    799: unknown: -
    "#);
}

#[tokio::test]
async fn each_class_names_the_way_out() {
    let mut lines = Vec::new();
    for status in [200, 302, 400, 401, 403, 404, 409, 413, 422, 429, 408, 500] {
        let server = Server::answering(response(&status.to_string(), "")).await;
        let answer = trigger(&settings_for(server.address)).await;
        lines.push(format!("{status}: {}", answer.fix));
    }
    assert_snapshot!(lines.join("\n"), @"
    200: check `base_url`: an accepted trigger is answered with 202 and nothing else
    302: check `base_url`: a redirect is never followed, as it would carry the token elsewhere
    400: correct the schedule: its request is wrong
    401: make a Workspace Agent access token in ChatGPT under Admin > Access tokens, with the scope Workspace Agents; a Platform API key does not work
    403: share the agent with the token's owner, or use the token of an owner who may run it
    404: check the `agtch_…` id in the agent's API channel, and that the workspace has API triggers
    409: save and publish the agent, and see that its API channel is active
    413: correct the schedule: its input is too long
    422: correct the schedule: its request is wrong
    429: nothing, as it is tried again; where it lasts, spread the schedules, by `jitter` or `H`
    408: nothing, as it is tried again; where it lasts, ask the API's support with the `x_request_id`, or look at what stands between here and there
    500: nothing, as it is tried again; where it lasts, ask the API's support with the `x_request_id`, or look at what stands between here and there
    ");
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_quoted_as_far_as_it_is() {
    let body = b"HTTP/1.1 500\r\ncontent-length: 9\r\n\r\nfail\xff\xfe\x80ed";
    let server = Server::answering(*body).await;
    let answer = trigger(&settings_for(server.address)).await;
    assert_snapshot!(answer.detail, @"fail���ed");
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("a TCP socket");
    let address = elsewhere.local_addr().expect("it is bound");
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Moved\r\nlocation: http://{address}/{TOKEN}");
        let mut server = Server::answering(response(&head, "")).await;
        let answer = trigger(&settings_for(server.address)).await;
        assert_eq!(answer.outcome, Outcome::Rejected);
        assert_eq!(answer.http_status, Some(status));
        assert_eq!(answer.detail, format!("redirect to http://{address}"));
        assert_eq!(server.requests().len(), 1);
    }
    let error = elsewhere.accept().expect_err("nobody came");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
