//! Settings that can not be used, and what may be shown of them.

use super::*;

#[track_caller]
fn refused(settings: &HttpSettings) -> String {
    match HttpApi::new(settings, tokens()) {
        Ok(_) => panic!("these settings are bad"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_can_not_be_used_is_said_with_the_way_out() {
    let with_proxy = HttpSettings {
        proxy: Some(Secret::new("http://user:pass-canary@")),
        ..settings(BaseUrl::DEFAULT)
    };
    assert_snapshot!(refused(&with_proxy), @"`proxy` is not the URL of a proxy; write it like `http://proxy.example.com:3128`");
    let with_ca = |path: &str| HttpSettings {
        ca_file: Some(path.into()),
        ..settings(BaseUrl::DEFAULT)
    };
    assert_snapshot!(refused(&with_ca("/nowhere/ca.pem")), @"`ca_file` `/nowhere/ca.pem` can't be read; name a file that the daemon's user may read");
    assert_snapshot!(refused(&with_ca("/dev/null")), @"`ca_file` `/dev/null` holds no certificate; name a file of PEM certificates");
}

#[test]
fn no_debug_text_contains_token_input_or_password() {
    let settings = HttpSettings {
        proxy: Some(Secret::new("http://user:pass-canary@proxy.invalid")),
        ..settings(BaseUrl::DEFAULT)
    };
    let call = api(&super::settings("http://localhost"))
        .lanes
        .take()
        .get(BaseUrl::DEFAULT)
        .header(AUTHORIZATION, bearer(&Secret::new(TOKEN)));
    let text = format!("{settings:?} {:?} {call:?} {:?}", request(), tokens());
    assert!(text.contains("body_len") && text.contains("Sensitive"));
    for canary in [TOKEN, INPUT, "pass-canary"] {
        assert!(!text.contains(canary), "it leaks");
    }
}
