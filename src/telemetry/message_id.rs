//! The journal's MESSAGE_ID of each kind of line that operators look for or that something failed. An
//! id never changes and is never given to another kind; systemd/triggerd.catalog explains each.

/// How the message begins, and its id.
pub const MESSAGE_IDS: [(&str, &str); 41] = [
    ("trigger accepted", "c7f18965e8cc4dd4a685b83b129d1f2d"),
    ("attempt failed", "2b8bc92f3a174dc184edc271dee6e600"),
    (
        "delivery ended without acceptance",
        "0c0dd2052f5c439bb74eeb96a29013ab",
    ),
    ("delivery overdue", "66b37effa3dc493eab8d724021cf93df"),
    ("run ended", "f98a41d58f0d44caad9d0ce2bb34a7f3"),
    ("run waits", "f0feeb73639a4a3abc81eca6f3550015"),
    ("run overdue", "b8c15b46f344439bb4b3ddcb195f52e7"),
    (
        "run is in a status that is not known",
        "4eb3e818b834431d8524daab50d58042",
    ),
    ("run can't be followed", "19c1b39d4e4b4d3b943180359f355421"),
    ("the API names no run", "e871e45cf1ae49c7aeb545a61adf2ba3"),
    ("occurrences skipped", "d5d8034b116d4a33903c23e9caaa97fc"),
    ("breaker opened", "b65cba19568d4522929c7a4f4fa9a6a9"),
    ("breaker closed", "608067cf27a44801b5a2beb3cf03436a"),
    ("too many requests", "c56a42c3ece54c47b85a6f37f6a0168a"),
    (
        "the token can't be read",
        "0a2bb275488e4b66a65df3fb6b07aa76",
    ),
    (
        "schedule file has a problem",
        "1b2f1bed39c64961912c468f2247626e",
    ),
    (
        "there is no schedule to fire",
        "6f804afcd1cf439fbd1e12d7fced8f31",
    ),
    (
        "triggerd.toml can't be used",
        "448b67c12aa54ed99610a573a58ff34d",
    ),
    (
        "the new `[api]` can't be used",
        "232a13cf1b1f4bf283ac1d419bf6d27e",
    ),
    (
        "this key of triggerd.toml takes effect",
        "be517fd67448471d8b10159dfe12e42a",
    ),
    (
        "there can be no control socket",
        "a2d0eb31b1fe4257bd2be09e4921bfa2",
    ),
    ("clock stepped", "5a6c7eb753d240f5b1167e2f8093b08e"),
    (
        "the clock stands before",
        "7ad2cbd7510340539f31194f4eb2deb8",
    ),
    ("firing goes on", "fcda0a47cdf6409c9e0a4124a64339b2"),
    (
        "the ledger can't be written",
        "ed0976313aa44e978759b96ce2934196",
    ),
    (
        "the ledger was not pruned",
        "983bc59cedae4b0189d86b383a8dee72",
    ),
    (
        "changes of files were missed",
        "e09674e70df9476f9350e87d4a6e3b0e",
    ),
    (
        "a folder can't be watched",
        "dd34b64cc56945e0b194ca40c44378fb",
    ),
    (
        "calls did not end in time",
        "64ef9a7eb8bf45c093fc68d0856d2f64",
    ),
    ("schedule stopped", "a002b569ed9347f1b5779ee7f7dabd13"),
    ("limit reached", "03b9bc20c3914eaeb294a44a0ff5d687"),
    (
        "alerts could not be sent",
        "0de1d8a820aa486f9ccb7335563b8ba3",
    ),
    (
        "a heartbeat could not be sent",
        "2396046521824dbc820d660f106fd143",
    ),
    ("a token ends", "2da443bb234a496ca864d0c9d76010f0"),
    (
        "the ledger refuses a fact",
        "d57a2d85a3124a56808312d20a914c21",
    ),
    (
        "there can be no status page",
        "2fb69714769e4c2a82f679fe27f97577",
    ),
    (
        "the clock was set far ahead",
        "58b90f04083d43b99ecfc927df43425e",
    ),
    ("the lease had lapsed", "78fdbc9a4a154fe58bca02e00826d54b"),
    (
        "facts of schedules that are not this node's",
        "d693775c50814b2c93010517ba85cc2b",
    ),
    (
        "nodes have different versions",
        "d0f3d77299a04e1f9f151ba83797a046",
    ),
    (
        "what is paused can't be kept here",
        "2b3bfea9afac44bcafe308fb9ee1af73",
    ),
];

pub(super) fn of(message: &str) -> Option<&'static str> {
    let found = MESSAGE_IDS
        .iter()
        .find(|(begins, _)| message.starts_with(begins));
    found.map(|(_, id)| *id)
}
