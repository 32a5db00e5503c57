//! The address of a storage: `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `az://container/prefix`.

use std::path::PathBuf;

use object_store::path::Path;
use url::Url;

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StorageUrl {
    File(PathBuf),
    Bucket {
        scheme: Scheme,
        bucket: String,
        prefix: String,
    },
}

/// Whose protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    S3,
    Gcs,
    Azure,
}

const SCHEMES: &[(&str, Scheme)] = &[
    ("s3", Scheme::S3),
    ("gs", Scheme::Gcs),
    ("az", Scheme::Azure),
];

impl Scheme {
    /// As an address begins.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl StorageUrl {
    /// An error says what is wrong and never quotes the text, which may hold a secret by mistake.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("must hold no credentials: they have keys of their own".to_owned());
        }
        if text.contains(['?', '#']) || text.chars().any(char::is_control) {
            return Err("must have no parameters: they have keys of their own".to_owned());
        }
        if text.starts_with("file:") {
            let path = Url::parse(text)
                .ok()
                .and_then(|url| url.to_file_path().ok());
            return path.map(Self::File).ok_or_else(|| {
                "is not a local address: write file:///absolute/directory".to_owned()
            });
        }
        let known = SCHEMES.iter().find_map(|(name, scheme)| {
            Some((*scheme, text.strip_prefix(name)?.strip_prefix("://")?))
        });
        let Some((scheme, rest)) = known else {
            return Err(
                "is not a storage's address: write file:///directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
                    .to_owned(),
            );
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err(format!(
                "names no bucket: write {}://bucket/prefix",
                scheme.name()
            ));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let segment_is_plain = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.chars().all(|c| plain(c) || c == '=')
        };
        let prefix_is_plain = prefix.is_empty() || prefix.split('/').all(segment_is_plain);
        if !prefix_is_plain || Path::parse(prefix).is_err() {
            return Err(
                "has a prefix that is not made of letters, digits and . _ - = between slashes"
                    .to_owned(),
            );
        }
        Ok(Self::Bucket {
            scheme,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(scheme: Scheme, bucket: &str, prefix: &str) -> StorageUrl {
        StorageUrl::Bucket {
            scheme,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn addresses_name_a_directory_or_a_bucket_and_a_prefix() {
        for (text, parsed) in [
            (
                "file:///srv/my%20backups",
                StorageUrl::File("/srv/my backups".into()),
            ),
            ("s3://backups", bucket(Scheme::S3, "backups", "")),
            ("s3://Old_Bucket/", bucket(Scheme::S3, "Old_Bucket", "")),
            (
                "gs://b.example.com/pg/prod/",
                bucket(Scheme::Gcs, "b.example.com", "pg/prod"),
            ),
            ("az://c/x", bucket(Scheme::Azure, "c", "x")),
        ] {
            assert_eq!(StorageUrl::parse(text), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_quoted() {
        for text in [
            "",
            "backups",
            "s3:backups",
            "s3://",
            "s3:///prefix",
            "s3://key:hunter2marker@bucket",
            "s3://bucket?hunter2marker",
            "s3://bucket//x",
            "s3://bucket/a/../b",
            "s3://bucket/a b",
            "s3://bücket",
            "ftp://bucket/x",
            "file://host/x",
            "file:relative#x",
            "S3://bucket",
        ] {
            let why = StorageUrl::parse(text).unwrap_err();
            assert!(!why.contains("hunter2marker"), "{why}");
        }
    }
}
