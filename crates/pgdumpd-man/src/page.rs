//! What stands on a man page: what the command line says about itself, and what belongs to a manual beside it.

use std::collections::BTreeMap;
use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use pgdumpd::cli::Cli;

/// Variables that the program reads, for its own page. docs/CONFIG.md has those of each key.
const ENVIRONMENT: [(&str, &str); 5] = [
    (
        "DATABASE_URL",
        "The address of the queue. With no other configuration, its database is also the only target.",
    ),
    (
        "PGDUMPD_CONFIG",
        "The configuration file, unless --config names one.",
    ),
    (
        "PGDUMPD_SECTION__KEY",
        "The value of a key of the configuration, such as PGDUMPD_DAEMON__LEASE or PGDUMPD_TARGETS__APP__URL. It overrides the file.",
    ),
    (
        "PGDUMPD_STORAGE",
        "Where backups are stored if DATABASE_URL is the only configuration.",
    ),
    (
        "PGDUMPD_IDENTITY_FILE",
        "The file with the keys that decrypt encrypted backups, unless --identity names one.",
    ),
];

const FILES: [(&str, &str); 2] = [
    (
        "/etc/pgdumpd/pgdumpd.toml",
        "The configuration, if neither --config nor PGDUMPD_CONFIG names another file.",
    ),
    (
        "/var/lib/pgdumpd/backups",
        "Where the packaged configuration stores backups.",
    ),
];

/// Every page by the name of its file.
///
/// # Errors
/// None in practice: pages are written to memory.
pub(crate) fn all(date: &str) -> io::Result<BTreeMap<String, String>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let version = program.get_version().unwrap_or_default();
    let source = format!("pgdumpd {version}");
    let commands = program.get_subcommands().filter(|c| !c.is_hide_set());
    let mut pages = BTreeMap::new();
    for command in std::iter::once(&program).chain(commands) {
        let man = Man::new(command.clone());
        let name = man.get_filename();
        let man = man.date(date).source(&source).manual("pgdumpd");
        pages.insert(name, render(&man, command)?);
    }
    Ok(pages)
}

fn render(man: &Man, command: &Command) -> io::Result<String> {
    let is_program = command.get_name() == "pgdumpd";
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::default();
    if let Some(notes) = command.get_after_long_help().or(command.get_after_help()) {
        rest.control("SH", ["NOTES"]);
        paragraphs(&mut rest, &notes.to_string());
    }
    if is_program {
        rest.control("SH", ["ENVIRONMENT"]);
        definitions(&mut rest, &ENVIRONMENT);
        rest.control("SH", ["FILES"]);
        definitions(&mut rest, &FILES);
    }
    rest.control("SH", ["SEE ALSO"]);
    let others: &[&str] = if is_program {
        &["pg_dump", "pg_restore"]
    } else {
        &["pgdumpd"]
    };
    see_also(&mut rest, others);
    rest.to_writer(&mut page)?;
    let page = String::from_utf8(page).expect("roff writes UTF-8");
    // Each part begins with the same definition of an apostrophe; once is enough.
    let (start, _) = page.split_once(".TH ").expect("a page has a title");
    let page = start.to_owned() + &page.replace(start, "");
    // An empty line before possible values, which readers of man pages complain of.
    Ok(page.replace("\n.br\n\n.br\n", "\n.br\n"))
}

/// A text whose paragraphs are divided by empty lines; the lines of a paragraph stay lines.
fn paragraphs(roff: &mut Roff, text: &str) {
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        for (number, line) in paragraph.lines().enumerate() {
            if number > 0 {
                roff.control("br", []);
            }
            roff.text([roman(line)]);
        }
    }
}

fn definitions(roff: &mut Roff, all: &[(&str, &str)]) {
    for (name, meaning) in all {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
}

fn see_also(roff: &mut Roff, pages: &[&str]) {
    let mut line = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(*page), roman("(1)")]);
    }
    roff.text(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> String {
        let pages = all("2026-11-30").unwrap();
        pages
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", pages.keys()))
            .clone()
    }

    #[test]
    fn every_command_has_a_page_that_the_programs_own_page_names() {
        let program = text("pgdumpd.1");
        let command = Cli::command();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert!(names.len() > 15, "{names:?}");
        for name in &names {
            let page = text(&format!("pgdumpd-{name}.1"));
            assert!(
                page.contains(&format!("pgdumpd\\-{name} \\- ")),
                "{name}: {page}"
            );
            assert!(page.contains("\\fBpgdumpd\\fR(1)"), "{name}: {page}");
            assert!(
                program.contains(&format!("pgdumpd\\-{name}(1)")),
                "{name}: {program}"
            );
        }
        assert_eq!(all("").unwrap().len(), names.len() + 1);
    }

    #[test]
    fn a_page_has_the_version_and_the_date_in_its_footer_and_the_exit_codes_in_its_notes() {
        let page = text("pgdumpd.1");
        let title = page.lines().find(|line| line.starts_with(".TH")).unwrap();
        let version = format!("\"pgdumpd {}", env!("CARGO_PKG_VERSION"));
        assert!(
            title.contains(&version) && title.contains("2026-11-30"),
            "{title}"
        );
        let notes = page.split(".SH NOTES").nth(1).unwrap();
        assert!(notes.contains("\n.PP\nExit codes: 0 done"), "{notes}");
    }
}
