//! Certificate and key of the listener.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A file cannot be read, or has no certificate or key.
    #[error("{file} has no {what} in PEM")]
    File {
        file: String,
        what: &'static str,
        #[source]
        source: pem::Error,
    },
    /// They do not fit together.
    #[error("certificate and key cannot be used together")]
    Unfit(#[source] tokio_rustls::rustls::Error),
}

impl TlsError {
    /// The text with its causes.
    pub(super) fn report(&self) -> String {
        let cause = std::error::Error::source(self).map(ToString::to_string);
        match cause {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// Reads the files. They are small, and read at the start and at SIGHUP alone.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let of_file = |path: &std::path::Path, what| {
        let file = path.display().to_string();
        move |source| TlsError::File { file, what, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .and_then(|chain| {
            if chain.is_empty() {
                return Err(pem::Error::NoItemsFound);
            }
            Ok(chain)
        })
        .map_err(of_file(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(of_file(&files.key, "key"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
