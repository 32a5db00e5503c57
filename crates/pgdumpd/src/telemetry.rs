//! STUB
use crate::config::LogConfig;
/// stub
pub fn init(_c: &LogConfig) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
