use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use super::{Folder, terminate};

#[test]
fn it_shows_an_acceptance_and_what_the_agent_wrote_and_ends_when_it_is_told_to() {
    let folder = Folder::new();
    let mut command = folder.triggerd("demo --for 5m").into_command();
    let mut demo = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is there");
    let mut out = BufReader::new(demo.stdout.take().expect("it is piped"));
    let mut shown = String::new();
    while !shown.contains("\n  Workspace Agent API demo received: demo-") {
        let length = out.read_line(&mut shown).expect("it prints text");
        assert!(length > 0, "it ended early:\n{shown}");
    }
    terminate(&demo);
    out.read_to_string(&mut shown).expect("it prints text");
    let mut log = String::new();
    let mut err = demo.stderr.take().expect("it is piped");
    err.read_to_string(&mut log).expect("its log is text");
    assert_eq!(demo.wait().expect("it is our child").code(), Some(0));

    assert!(shown.starts_with("A sandbox of the Workspace Agents API is at http://127.0.0.1:"));
    assert!(shown.contains("\nThe agent wrote to #demo:\n"), "{shown}");
    assert!(shown.contains(" accepted, "), "{shown}");
    assert!(log.contains("trigger accepted"), "{log}");
}
