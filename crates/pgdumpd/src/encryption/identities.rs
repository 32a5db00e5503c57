//! Who can read a backup again.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use age::DecryptError;
use age::armor::ArmoredReader;
use age::secrecy::{ExposeSecret as _, SecretString};
use age::stream::StreamReader;
use age::x25519::Identity;

use crate::code::Code;
use crate::fault::Fault;

/// No file that we wrote has a longer header, with as many recipients as are allowed. What reads the header of a
/// longer one would read, and parse again and again, as far as a stranger likes.
pub const HEAD_BYTES: usize = 4 << 10;
/// An identity file is a few lines.
const LARGEST_FILE: u64 = 1 << 20;

/// Secret keys, read from identity files. Never shown.
pub struct Identities(Vec<Identity>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} identities", self.0.len())
    }
}

impl Identities {
    /// Reads identity files, as `age-keygen` writes them. Blocks: a file may be a pipe.
    ///
    /// # Errors
    /// `identity_unreadable`, and `identity_invalid` for what holds no X25519 identity; never with its content.
    pub fn read(files: &[PathBuf]) -> Result<Self, Fault> {
        let mut identities = Vec::new();
        for file in files {
            identities.append(&mut read_file(file)?);
        }
        Ok(Self(identities))
    }

    /// Reads one identity, as in a line of such a file.
    ///
    /// # Errors
    /// `identity_invalid`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Ok(Self(parse(text, "the text")?))
    }

    /// Whether one of them is the secret half of one of these recipients.
    pub fn are_among(&self, recipients: &[String]) -> bool {
        let mut publics = self.0.iter().map(|own| own.to_public().to_string());
        publics.any(|public| recipients.contains(&public))
    }

    /// Decrypts something small, a whole age file; `what` names it in errors.
    ///
    /// # Errors
    /// As [`Identities::payload_at`], and as [`fault_of_reading`].
    pub fn decrypt(&self, what: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Fault> {
        self.payload_at(what, &ciphertext[..ciphertext.len().min(HEAD_BYTES)])?;
        self.decrypt_all(what, ciphertext)
    }

    /// The same from text, in age's armor.
    ///
    /// # Errors
    /// As [`Identities::decrypt`].
    pub fn decrypt_text(&self, what: &str, armored: &str) -> Result<Vec<u8>, Fault> {
        let ciphertext = || ArmoredReader::new(armored.as_bytes());
        let mut head = Vec::new();
        ciphertext()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| fault_of_reading(what, error))?;
        self.payload_at(what, &head)?;
        self.decrypt_all(what, ciphertext())
    }

    /// Where the first chunk is in a file that begins with these bytes: [`HEAD_BYTES`], or all of it.
    ///
    /// # Errors
    /// `identity_mismatch` where none of the identities fits, also where the part of the header that one would fit is
    /// damaged; `archive_damaged` where the header is; `archive_truncated` where it ends too early.
    pub fn payload_at(&self, what: &str, head: &[u8]) -> Result<u64, Fault> {
        let mut rest = head;
        match self.reader(what, &mut rest) {
            Ok(_) => Ok((head.len() - rest.len()) as u64),
            Err(fault) if fault.code() == Code::ArchiveTruncated && head.len() >= HEAD_BYTES => {
                let text = format!("the encryption's header of {what} is damaged: it does not end");
                Err(Fault::permanent(Code::ArchiveDamaged, text).hint(OTHER_COPY))
            }
            Err(fault) => Err(fault),
        }
    }

    fn decrypt_all(&self, what: &str, from: impl Read) -> Result<Vec<u8>, Fault> {
        let mut plaintext = Vec::new();
        self.reader(what, from)?
            .read_to_end(&mut plaintext)
            .map_err(|error| fault_of_reading(what, error))?;
        Ok(plaintext)
    }

    /// Decrypts what is read from `from`, whose head is known to be good.
    ///
    /// # Errors
    /// As [`Identities::payload_at`].
    pub fn reader<R: Read>(&self, what: &str, from: R) -> Result<StreamReader<R>, Fault> {
        let identities = self.0.iter().map(|own| own as &dyn age::Identity);
        let opened = age::Decryptor::new(from).and_then(|file| file.decrypt(identities));
        opened.map_err(|error| match error {
            DecryptError::NoMatchingKeys => mismatch(what),
            DecryptError::Io(error) => fault_of_reading(what, error),
            error => Fault::permanent(
                Code::ArchiveDamaged,
                format!("the encryption's header of {what} is damaged"),
            )
            .caused_by(error)
            .hint(OTHER_COPY),
        })
    }
}

/// What can still be done about a file whose encryption does not check out.
const OTHER_COPY: &str = "Compare its SHA-256 with `pgdumpd verify` without an identity; another copy of the backup may be whole.";

fn mismatch(what: &str) -> Fault {
    let text = format!("no given identity opens {what}: it is encrypted to other keys");
    Fault::permanent(Code::IdentityMismatch, text).hint(
        "`pgdumpd show` says to which public keys it is encrypted; `age-keygen -y FILE` prints the public key of an \
         identity.",
    )
}

/// Whether a fault says that what is encrypted is not what it was.
pub fn is_damage(fault: &Fault) -> bool {
    [Code::ArchiveDamaged, Code::ArchiveTruncated].contains(&fault.code())
}

/// Whether a fault says that it ends too early.
pub fn is_truncation(fault: &Fault) -> bool {
    fault.code() == Code::ArchiveTruncated
}

/// Why a decrypting reader failed.
pub fn fault_of_reading(what: &str, error: io::Error) -> Fault {
    // What the reader below it said.
    let error = match error.downcast::<Fault>() {
        Ok(fault) => return fault,
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Fault::permanent(Code::ArchiveTruncated, format!("{what} is cut off"))
                .caused_by(error)
                .hint(OTHER_COPY)
        }
        io::ErrorKind::InvalidData => Fault::permanent(
            Code::ArchiveDamaged,
            format!("{what} is damaged: it cannot be decrypted"),
        )
        .caused_by(error)
        .hint(OTHER_COPY),
        _ => Fault::transient(Code::StorageFailed, format!("cannot read {what}")).caused_by(error),
    }
}

fn read_file(path: &Path) -> Result<Vec<Identity>, Fault> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        Fault::permanent(
            Code::IdentityUnreadable,
            format!("cannot read identity file {shown}"),
        )
        .caused_by(error)
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE || bytes.starts_with(b"age-encryption.org/") {
        return Err(protected_or_none(&bytes, &shown.to_string()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| invalid(&format!("{shown} is not an identity file: it is not text")))?;
    // Wiped when it is dropped.
    let text = SecretString::from(text);
    parse(text.expose_secret(), &shown.to_string())
}

fn parse(text: &str, shown: &str) -> Result<Vec<Identity>, Fault> {
    let mut identities = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse() {
            Ok(identity) => identities.push(identity),
            Err(_) => return Err(why_not(line, &format!("line {} of {shown}", at + 1))),
        }
    }
    if identities.is_empty() {
        return Err(invalid(&format!("{shown} holds no identity")));
    }
    Ok(identities)
}

fn why_not(line: &str, place: &str) -> Fault {
    if line.starts_with("-----BEGIN AGE ENCRYPTED FILE") {
        return protected(place);
    }
    let upper = line.to_ascii_uppercase();
    if upper.starts_with("AGE1") {
        return invalid(&format!("{place} is a public key, which cannot decrypt"))
            .hint("Give the identity file that `age-keygen` made with it.");
    }
    if upper.starts_with("AGE-PLUGIN-") || upper.starts_with("AGE-SECRET-KEY-PQ-") {
        return invalid(&format!(
            "{place} is an identity of a plugin or a post-quantum one, which are not supported"
        ));
    }
    if upper.starts_with("AGE-SECRET-KEY-1") {
        return invalid(&format!(
            "{place} is a mistyped identity: its letters do not fit its checksum"
        ));
    }
    if line.contains("BEGIN OPENSSH PRIVATE KEY") || line.contains("PRIVATE KEY-----") {
        return invalid(&format!(
            "{place} begins an SSH or TLS key, which is not supported"
        ))
        .hint("Give an identity file that `age-keygen` made.");
    }
    invalid(&format!("{place} is not an identity"))
        .hint("An identity begins with AGE-SECRET-KEY-1; `age-keygen` makes them.")
}

fn protected_or_none(bytes: &[u8], shown: &str) -> Fault {
    if bytes.starts_with(b"age-encryption.org/") {
        protected(shown)
    } else {
        invalid(&format!(
            "{shown} is not an identity file: it is larger than 1 MiB"
        ))
    }
}

fn protected(place: &str) -> Fault {
    invalid(&format!("{place} is protected by a passphrase")).hint(
        "Let age ask for the passphrase, and pass the identity on without a file, as bash does with: --identity <(age \
         --decrypt FILE).",
    )
}

fn invalid(what: &str) -> Fault {
    Fault::permanent(Code::IdentityInvalid, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::encryption::{Encryptor, Recipients};

    fn pair() -> (Identities, Recipients) {
        let identity = Identity::generate();
        let recipients = Recipients::parse(&[identity.to_public().to_string()]).unwrap();
        (Identities(vec![identity]), recipients)
    }

    #[test]
    fn what_is_encrypted_to_several_opens_for_each_and_for_nobody_else() {
        let ((first, a), (second, b), (other, _)) = (pair(), pair(), pair());
        let texts = [a.texts(), b.texts()].concat();
        let both = Recipients::parse(&texts).unwrap();
        let ciphertext = both.encrypt(b"content").unwrap();
        let text = both.encrypt_to_text(b"content").unwrap();
        for own in [&first, &second] {
            assert_eq!(own.decrypt("it", &ciphertext).unwrap(), b"content");
            assert_eq!(own.decrypt_text("it", &text).unwrap(), b"content");
            assert!(own.are_among(&texts));
        }
        assert!(!other.are_among(&texts));
        let fault = other.decrypt("it", &ciphertext).unwrap_err();
        assert_eq!(fault.code(), Code::IdentityMismatch);
    }

    #[test]
    fn a_stream_pushed_in_pieces_of_any_size_is_one_file() {
        let (own, recipients) = pair();
        for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 500_000] {
            let content: Vec<u8> = (0..size).map(|at: u32| (at / 7 % 251) as u8).collect();
            let mut encryptor = Encryptor::new(&recipients).unwrap();
            let mut ciphertext = Vec::new();
            for piece in content.chunks(70_001) {
                ciphertext.extend_from_slice(&encryptor.push(piece).unwrap());
            }
            ciphertext.extend_from_slice(&encryptor.finish().unwrap());
            assert!(own.decrypt("it", &ciphertext).unwrap() == content, "{size}");
        }
    }

    #[test]
    fn a_cut_and_a_flipped_bit_are_distinguished_from_a_wrong_identity() {
        let (own, recipients) = pair();
        let ciphertext = recipients.encrypt(&[7; 200_000]).unwrap();
        let header = ciphertext.len() - 200_000 - 4 * 16;
        for cut in [0, 10, header - 1, header, header + 65_552] {
            let fault = own.decrypt("it", &ciphertext[..cut]).unwrap_err();
            assert_eq!(fault.code(), Code::ArchiveTruncated, "{cut}");
        }
        for at in [3, header - 20, header + 10, ciphertext.len() - 1] {
            let mut flipped = ciphertext.clone();
            flipped[at] ^= 1;
            let fault = own.decrypt("it", &flipped).unwrap_err();
            assert_eq!(
                fault.code(),
                Code::ArchiveDamaged,
                "{at}: {}",
                fault.report()
            );
        }
    }

    #[test]
    fn a_header_that_does_not_end_is_not_read_to_its_end() {
        let (own, recipients) = pair();
        let header = recipients.encrypt(b"").unwrap();
        let end = header
            .windows(4)
            .position(|bytes| bytes == b"--- ")
            .unwrap();
        let mut endless = header[..end].to_vec();
        while endless.len() < 20_000_000 {
            endless.extend_from_slice(b"-> another one\n\n");
        }
        let fault = own.decrypt("it", &endless).unwrap_err();
        assert_eq!(fault.code(), Code::ArchiveDamaged);
        assert!(fault.to_string().contains("does not end"), "{fault}");
    }

    #[test]
    fn the_longest_header_that_is_written_is_read() {
        let (own, recipients) = pair();
        let texts = vec![recipients.texts().remove(0); crate::encryption::MAX_RECIPIENTS];
        let ciphertext = Recipients::parse(&texts)
            .unwrap()
            .encrypt(b"content")
            .unwrap();
        assert!(ciphertext.len() < HEAD_BYTES, "{}", ciphertext.len());
        assert_eq!(own.decrypt("it", &ciphertext).unwrap(), b"content");
    }

    #[test]
    fn what_is_no_identity_file_is_refused_without_being_shown() {
        let secret = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        let mistyped = secret.replace("778", "887");
        for (content, told) in [
            ("", "holds no identity"),
            ("# only a comment\n", "holds no identity"),
            (&mistyped, "line 1 of"),
            (&format!("{secret}\n\n{mistyped}"), "line 3 of"),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nabc", "passphrase"),
            ("age-encryption.org/v1\n-> scrypt", "passphrase"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "SSH"),
            ("AGE-PLUGIN-YUBIKEY-1QQQQ", "plugin"),
            ("AGE-SECRET-KEY-PQ-1QQQQ", "post-quantum"),
            (
                "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
                "public key",
            ),
            ("hunter2", "is not an identity"),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let fault = Identities::read(&[file.path().to_owned()]).unwrap_err();
            assert_eq!(fault.code(), Code::IdentityInvalid);
            let text = format!("{} {:?}", fault.report(), fault.advice());
            assert!(text.contains(told), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("GQ9"), "{text}");
        }
        let fault = Identities::read(&["/no/such/file".into()]).unwrap_err();
        assert_eq!(fault.code(), Code::IdentityUnreadable);
        assert_eq!(
            format!("{:?}", Identities::parse(secret).unwrap()),
            "1 identities"
        );
    }
}
