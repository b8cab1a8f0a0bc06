use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory;
use insta::assert_snapshot;
use triggerd::cli::Cli;

use super::Folder;

#[test]
fn each_command_has_a_page_with_its_example() {
    let folder = Folder::new();
    let done = folder.triggerd("man share/man1").run();
    let mut names = BTreeSet::from(["triggerd.1".to_owned()]);
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let file = format!("triggerd-{name}.1");
        let page = fs::read_to_string(folder.path("share/man1").join(&file)).expect("a page");
        assert!(page.contains(&format!(".TH triggerd-{name} 1 ")), "{page}");
        assert!(page.contains(&format!("triggerd {name}")), "{page}");
        assert!(page.contains("\nExample"), "{page}");
        names.insert(file);
    }
    let written = fs::read_dir(folder.path("share/man1")).expect("the folder was made");
    let written: BTreeSet<String> = written
        .map(|file| file.expect("a file").file_name().to_string_lossy().into())
        .collect();
    assert_eq!(written, names);
    let pages = format!("{} pages in share/man1; ", names.len());
    assert!(done.out.starts_with(&pages), "{done}");
    assert_eq!((done.err.as_str(), done.code), ("", 0));
}

#[test]
fn without_a_folder_the_first_page_is_printed() {
    let folder = Folder::new();
    let printed = folder.triggerd("man").run();
    assert_eq!((printed.err.as_str(), printed.code), ("", 0));
    folder.triggerd("man pages").run();
    let page = fs::read_to_string(folder.path("pages/triggerd.1")).expect("a page");
    assert_eq!(printed.out, page);
    assert!(page.contains(".SH SUBCOMMANDS"));
}

#[test]
fn a_folder_that_can_not_be_made_is_told() {
    let folder = Folder::new().file("taken", "");
    assert_snapshot!(folder.triggerd("man taken").run(), @"
    | error: `taken` can't be made: File exists (os error 17)
    [1]
    ");
}
