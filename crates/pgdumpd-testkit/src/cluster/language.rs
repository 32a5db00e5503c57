//! Clusters whose server speaks another language than English.

use tokio::sync::OnceCell;

use super::{Cluster, Flavour, shared};
use crate::binaries::{Binaries, MAJORS, in_cache};
use crate::debian;
use crate::skip::Needs;

/// What a server writes its messages in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// With umlauts.
    German,
    /// Whose messages have their parts in another order.
    Japanese,
    /// Which has its own words for the kinds of errors.
    Russian,
    /// German in an encoding that is not UTF-8, as old servers have it.
    GermanLatin1,
}

impl Language {
    /// Its locale, as `lc_messages` takes it. A server of this module knows all of them.
    #[must_use]
    pub fn locale(self) -> &'static str {
        match self {
            Self::German => "de_DE.UTF-8",
            Self::Japanese => "ja_JP.UTF-8",
            Self::Russian => "ru_RU.UTF-8",
            Self::GermanLatin1 => "de_DE.ISO-8859-1",
        }
    }
}

/// The run's shared cluster whose server speaks this language, of the newest major that does.
///
/// Where there is none, says so on stderr and returns None, for the test to return early.
///
/// # Panics
/// When there is none and `PGDUMPD_TEST_LANGUAGES` is set.
pub async fn cluster_speaking(language: Language) -> Option<&'static Cluster> {
    static CLUSTERS: [OnceCell<Cluster>; 4] = [const { OnceCell::const_new() }; 4];
    let (binaries, flavour) = speaking(language, &[])?;
    let cell = &CLUSTERS[language as usize];
    Some(cell.get_or_init(|| shared::join(binaries, flavour)).await)
}

impl Cluster {
    /// As [`Cluster::start_private`], with a server that speaks this language; `None` as of [`cluster_speaking`].
    pub async fn start_private_speaking(
        language: Language,
        settings: &[(&str, &str)],
    ) -> Option<Cluster> {
        let (binaries, flavour) = speaking(language, settings)?;
        Some(Cluster::start_private_with(binaries, flavour).await)
    }
}

fn speaking(language: Language, settings: &[(&str, &str)]) -> Option<(Binaries, Flavour)> {
    let (Some(binaries), Some(locales)) = (translated(), locales(language)) else {
        let missing = format!("no PostgreSQL speaks {language:?} here: script/bootstrap says why");
        Needs::Languages.missing(&missing);
        return None;
    };
    let mut flavour = Flavour::new(settings);
    let locale = language.locale().to_owned();
    flavour
        .settings
        .insert(0, ("lc_messages".to_owned(), locale.clone()));
    // As on a host of that language: the encoding of what is said before a session has one.
    flavour.environment = vec![("LOCPATH", locales), ("LC_ALL", locale)];
    Some((binaries, flavour))
}

/// The newest build with translations: those of PyPI have none.
fn translated() -> Option<Binaries> {
    MAJORS.rev().find_map(|major| {
        let dir = debian::file(&format!("/usr/lib/postgresql/{major}/bin"))?;
        let messages = dir.join(format!(
            "../../../../share/locale/de/LC_MESSAGES/postgres-{major}.mo"
        ));
        (dir.join("postgres").is_file() && messages.is_file()).then_some(Binaries { major, dir })
    })
}

/// The folder with the locales, as `LOCPATH` has it.
fn locales(language: Language) -> Option<String> {
    let locale = in_cache(&format!("locale/{}", language.locale()))?;
    let folder = locale.parent()?;
    // From here, the server's folder is another.
    let folder = folder.canonicalize().ok()?;
    Some(folder.display().to_string())
}
