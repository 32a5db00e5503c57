//! `pgdumpd completions`, as a package's build calls it: on a machine where pgdumpd is not configured.

use std::process::{Command, Stdio};

/// What `pgdumpd` prints for these arguments, with a configuration that cannot be read.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
        .args(arguments)
        .env("PGDUMPD_CONFIG", "/nowhere/pgdumpd.toml")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    list.lines()
        .map_while(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_completions_of_each_shell_have_every_command_and_need_no_configuration() {
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
        assert!(script.contains("idempotency-key"), "{shell}: {script}");
    }
}
