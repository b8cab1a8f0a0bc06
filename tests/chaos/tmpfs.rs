//! A file system of a test's own, small enough to be filled. It needs root.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Tmpfs(pub(crate) PathBuf);

impl Tmpfs {
    pub(crate) fn mount(at: PathBuf, mebibytes: u32) -> Self {
        fs::create_dir(&at).expect("a folder");
        let options = format!("size={mebibytes}m,mode=700");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &at);
        Self(at)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(crate) fn mount(args: &[&str], at: &Path) {
    let status = Command::new("mount").args(args).arg(at).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "mount {args:?}"
    );
}

/// Takes all the room that is left.
pub(crate) fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    for size in [4096, 512, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}
