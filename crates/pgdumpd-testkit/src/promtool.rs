//! Prometheus' own tool, which judges metrics and rules.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::debian;
use crate::skip::Needs;

/// Runs `promtool` in a folder, with this standard input, and returns whether it was content, and all that it said.
///
/// Where it is not installed, says so on stderr and returns None, for the test to return early.
///
/// # Panics
/// When it is not installed and `PGDUMPD_TEST_PROMTOOL` is set.
pub fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let Some(program) = debian::file("/usr/bin/promtool") else {
        Needs::Promtool.missing("promtool is not installed: script/bootstrap says why");
        return None;
    };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin
        .write_all(input.as_bytes())
        .expect("promtool reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some((output.status.success(), said))
}
