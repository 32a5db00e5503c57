//! Tests that cannot run here.

/// What a test may lack, and the variable that turns its absence from a skipped test into a failed one.
#[derive(Debug, Clone, Copy)]
pub enum Needs {
    /// To mount file systems.
    Mounts,
    /// All majors of PostgreSQL.
    AllMajors,
    /// A PostgreSQL that speaks other languages than English.
    Languages,
    /// PgBouncer.
    Pooler,
    /// Prometheus' `promtool`.
    Promtool,
}

impl Needs {
    fn variable(self) -> &'static str {
        match self {
            Self::Mounts => "PGDUMPD_TEST_MOUNTS",
            Self::AllMajors => "PGDUMPD_TEST_ALL_MAJORS",
            Self::Languages => "PGDUMPD_TEST_LANGUAGES",
            Self::Pooler => "PGDUMPD_TEST_POOLER",
            Self::Promtool => "PGDUMPD_TEST_PROMTOOL",
        }
    }

    /// Says that a test, or a part of it, is skipped because of this.
    ///
    /// # Panics
    /// If the variable is set: then nothing may be skipped.
    pub fn missing(self, why: &str) {
        let variable = self.variable();
        assert!(
            std::env::var_os(variable).is_none(),
            "{why}, and {variable} is set"
        );
        eprintln!("SKIPPED: {why}");
    }
}
