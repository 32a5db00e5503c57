//! Addresses and passwords, written out or named as files, and the care that such files need.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::origin::Origin;
use super::reader::{Found, Reader, Section};
use super::values;
use crate::database_url::DatabaseUrl;

/// More than any password or address; less than a file named by mistake.
const SECRET_MAX: u64 = 16 * 1024;

/// Reads `url` or `url_file`, with `password` or `password_file` if there is one. `None` if there is no
/// address, which is the caller's to judge, or if a problem was recorded.
pub(super) fn connection(reader: &mut Reader<'_>, section: &Section) -> Option<DatabaseUrl> {
    let address = secret(reader, section, "url", "url_file");
    let password = secret(reader, section, "password", "password_file");
    let (text, name, found) = address?;
    let url = match DatabaseUrl::parse(text.expose_secret()) {
        Ok(url) => url,
        Err(error) => {
            let text = error.to_string();
            reader.problem(section.key(name), Some(found.origin), text);
            return None;
        }
    };
    for (parameter, reason) in url.ignored() {
        let key = section.key(name);
        reader.warnings.push(format!(
            "{key}: its parameter {parameter} is ignored: {reason}"
        ));
    }
    reader.entry(
        section.key("url"),
        format!("\"{url}\""),
        found.origin.clone(),
    );
    warn_of_readable_configuration(
        reader,
        &found.origin,
        url.password().is_some() && name == "url",
    );
    let Some((password, name, found)) = password else {
        return Some(url);
    };
    if url.password().is_some() {
        let text = "the address has a password too: remove one of the two";
        reader.problem(section.key(name), Some(found.origin), text);
        return None;
    }
    warn_of_readable_configuration(reader, &found.origin, name == "password");
    reader.entry(section.key("password"), "\"***\"", found.origin);
    Some(url.with_password(password))
}

/// The file that [`connection`] read the password from, if it did.
pub(super) fn password_file(reader: &Reader<'_>, section: &Section) -> Option<PathBuf> {
    let found = reader.find(section, "password_file")?;
    let inline = reader.find(section, "password");
    if inline.is_some_and(|inline| inline.origin.rank() > found.origin.rank()) {
        return None;
    }
    resolve(reader, Path::new(&values::text(&found.value)?)).ok()
}

/// A text that is never shown. Two are equal if they hold the same.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for whom it is meant.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

/// Reads a secret that may be missing, written out as `inline` or in the file named by `in_file`.
pub(super) fn optional(
    reader: &mut Reader<'_>,
    section: &Section,
    inline: &'static str,
    in_file: &'static str,
) -> Option<Secret> {
    let (text, name, found) = secret(reader, section, inline, in_file)?;
    if name == inline {
        warn_of_readable_configuration(reader, &found.origin, true);
        reader.entry(section.key(inline), "\"***\"", found.origin);
    }
    Some(Secret(text))
}

/// Reads a secret that may be missing, and is only ever in the file that this key names.
pub(super) fn in_file(
    reader: &mut Reader<'_>,
    section: &Section,
    name: &'static str,
) -> Option<Secret> {
    // No section has a key without a name.
    secret(reader, section, "", name).map(|(text, ..)| Secret(text))
}

/// A file named by a key, where such files are, which must be there.
pub(super) fn file(
    reader: &mut Reader<'_>,
    section: &Section,
    name: &'static str,
) -> Option<PathBuf> {
    let text = reader.text(section, name)?;
    let found = reader.find(section, name)?;
    let resolved = resolve(reader, Path::new(&text)).and_then(|path| match File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("cannot be read: {}: {error}", path.display())),
    });
    resolved
        .inspect_err(|why| reader.refuse(section, name, &found, why))
        .ok()
}

/// Reads a secret that is written out as `inline`, or in the file named by `in_file`. Of the two, the one from
/// the higher layer counts; both from the same one are a problem. Returns which it was.
fn secret(
    reader: &mut Reader<'_>,
    section: &Section,
    inline: &'static str,
    in_file: &'static str,
) -> Option<(SecretString, &'static str, Found)> {
    let (name, found) = match (reader.find(section, inline), reader.find(section, in_file)) {
        (None, None) => return None,
        (Some(found), None) => (inline, found),
        (None, Some(found)) => (in_file, found),
        (Some(a), Some(b)) if a.origin.rank() > b.origin.rank() => (inline, a),
        (Some(a), Some(b)) if a.origin.rank() < b.origin.rank() => (in_file, b),
        (Some(_), Some(b)) => {
            let text = format!("excludes {inline}: remove one of the two");
            reader.problem(section.key(in_file), Some(b.origin), text);
            return None;
        }
    };
    let Some(text) = values::text(&found.value) else {
        reader.refuse(section, name, &found, "is not a text in quotes");
        return None;
    };
    let secret = if name == in_file {
        match read_secret_file(reader, Path::new(&text)) {
            Ok(secret) => {
                let shown = values::shown(&found.value);
                reader.entry(section.key(name), shown, found.origin.clone());
                secret
            }
            Err(why) if Path::new(&text).is_absolute() => {
                reader.refuse(section, name, &found, &why);
                return None;
            }
            Err(why) => {
                let text = format!(
                    "{why}. The value is not shown, because it may be the secret itself; an absolute path is"
                );
                reader.problem(section.key(name), Some(found.origin), text);
                return None;
            }
        }
    } else {
        text
    };
    if secret.is_empty() || secret.chars().any(char::is_control) {
        let text = "must be one line, not empty, without control characters";
        reader.problem(section.key(name), Some(found.origin), text);
        return None;
    }
    Some((SecretString::from(secret), name, found))
}

/// Reads a small file without its last line end. A relative name is one of systemd's credentials, or else a file beside
/// the configuration file.
fn read_secret_file(reader: &mut Reader<'_>, name: &Path) -> Result<String, String> {
    let path = resolve(reader, name)?;
    let failed = |error| match (name.is_absolute(), path.parent()) {
        (false, Some(folder)) => {
            format!(
                "names a file in {} that cannot be read: {error}",
                folder.display()
            )
        }
        _ => format!("cannot be read: {}: {error}", path.display()),
    };
    let mut file = File::open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > SECRET_MAX {
        return Err(format!("must name a file of at most {SECRET_MAX} bytes"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    if metadata.permissions().mode() & 0o004 != 0 {
        reader.warnings.push(format!(
            "{} holds a secret and everybody may read it: chmod 0600",
            path.display()
        ));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn resolve(reader: &Reader<'_>, name: &Path) -> Result<PathBuf, String> {
    if name.is_absolute() {
        return Ok(name.to_owned());
    }
    let credential = reader
        .sources
        .variable("CREDENTIALS_DIRECTORY")
        .map(|directory| Path::new(directory).join(name));
    let beside = reader.file.as_deref().and_then(Path::parent);
    match (credential, beside.map(|directory| directory.join(name))) {
        // The packaged unit always has credentials, of the address alone.
        (Some(credential), Some(beside)) if !credential.exists() && beside.exists() => Ok(beside),
        (Some(credential), _) => Ok(credential),
        (None, Some(beside)) => Ok(beside),
        (None, None) => Err(
            "is relative, and there is neither CREDENTIALS_DIRECTORY (systemd's LoadCredential=) nor a configuration file beside it"
                .to_owned(),
        ),
    }
}

fn warn_of_readable_configuration(reader: &mut Reader<'_>, origin: &Origin, secret: bool) {
    let Origin::File(path) = origin else {
        return;
    };
    let readable =
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    let warning = format!(
        "{} contains a password and everybody may read it: chmod 0640, or use password_file",
        path.display()
    );
    if secret && readable && !reader.warnings.contains(&warning) {
        reader.warnings.push(warning);
    }
}
