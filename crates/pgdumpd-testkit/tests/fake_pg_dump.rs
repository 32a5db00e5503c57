//! The stand-in for pg_dump misbehaves exactly as told.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use pgdumpd_testkit::{FakePgDump, Then, eventually};

#[test]
fn it_answers_with_a_version_that_is_no_run() {
    let fake = FakePgDump::new(16, b"", Then::Exit(0));
    let output = Command::new(fake.program())
        .arg("--version")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"pg_dump (PostgreSQL) 16.0\n");
    assert!(fake.runs().is_empty());
}

#[test]
fn it_writes_its_bytes_and_fails_without_a_path() {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let fake = FakePgDump::new(15, &bytes, Then::Exit(1)).says("pg_dump: error: no");
    let output = Command::new(fake.program())
        .args(["-Fc", "a b"])
        .env_clear()
        .env("PGAPPNAME", "x=y")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, bytes);
    assert_eq!(output.stderr, b"pg_dump: error: no");
    let runs = fake.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].arguments, ["-Fc", "a b"]);
    assert_eq!(runs[0].environment, ["PGAPPNAME=x=y"]);
}

#[test]
fn it_dies_of_the_signal_it_was_given() {
    let fake = FakePgDump::new(15, b"PGDMP", Then::Signal(11));
    let output = Command::new(fake.program()).output().unwrap();
    assert_eq!(output.status.signal(), Some(11));
    assert_eq!(output.stdout, b"PGDMP");
}

#[tokio::test]
async fn it_hangs_with_its_output_open_and_ignores_signals_if_told() {
    let fake = FakePgDump::new(15, b"PGDMP", Then::HangIgnoringSignals);
    let mut child = Command::new(fake.program())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 5];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    let pid = fake.runs()[0].pid;
    eventually("it ignores SIGTERM", Duration::from_secs(10), async || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))?;
        (u64::from_str_radix(ignored.trim(), 16).ok()? & (1 << 14) != 0).then_some(())
    })
    .await;
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}
