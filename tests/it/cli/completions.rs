use std::io::Write;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use triggerd::cli::Cli;

use super::Folder;

#[test]
fn each_shells_script_knows_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = Folder::new()
            .triggerd(&format!("completions {shell}"))
            .run();
        assert_eq!((done.err.as_str(), done.code), ("", 0), "{shell}");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(done.out.contains(name), "{shell} completes {name}");
        }
    }
}

#[test]
fn bash_completes_with_it() {
    let script = Folder::new().triggerd("completions bash").run().out;
    let ask = "\nCOMP_WORDS=(triggerd hist); COMP_CWORD=1; _triggerd triggerd hist triggerd\necho \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash is there");
    let mut stdin = bash.stdin.take().expect("it is piped");
    stdin
        .write_all((script + ask).as_bytes())
        .expect("bash reads");
    drop(stdin);
    let output = bash.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "history\n");
}
