//! The relations that a text names.
//!
//! Where a word may be the name of a relation or something else, it is taken for one: one too many is named to the
//! reader, one too few is not.

use std::collections::HashMap;

use super::tokens::Token;

/// Brackets within brackets that are distinguished.
const MAX_DEPTH: usize = 256;

/// The positions of words that name relations, in order, if there are any of these names. A word that a period follows
/// is the schema of one.
pub(super) fn relations(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut reader = Reader {
        tokens,
        levels: vec![Level::default()],
        deeper: 0,
        queries: HashMap::new(),
        declares: false,
        found: Vec::new(),
    };
    for at in 0..tokens.len() {
        reader.read(at);
    }
    reader.found.sort_unstable();
    reader.found.dedup();
    reader.found
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    /// The text itself, and the brackets that are open; never empty.
    levels: Vec<Level<'t>>,
    /// Brackets that are open beyond [`MAX_DEPTH`].
    deeper: usize,
    /// Names that stand for queries here, and how often each has been given.
    queries: HashMap<&'t [u8], usize>,
    /// Between DECLARE and BEGIN, where types of variables are named.
    declares: bool,
    found: Vec<usize>,
}

/// What is known of one bracket, or of the text outside all.
#[derive(Default)]
struct Level<'t> {
    /// A relation comes next.
    expects: bool,
    /// After FROM: a relation comes after a comma, too.
    in_list: bool,
    /// After DELETE or MERGE: USING begins such a list.
    deletes: bool,
    /// After WITH: `name AS (` defines a query.
    with: bool,
    /// After WITH RECURSIVE: the query's name stands for itself within its own definition.
    recursive: bool,
    /// The name before this bracket.
    named: Option<&'t [u8]>,
    /// The name of the query that this bracket defines.
    defines: Option<&'t [u8]>,
    /// The name before the bracket that was closed last.
    closed: Option<&'t [u8]>,
    /// Names that were given to queries, and mean these up to the statement's end.
    queries: Vec<&'t [u8]>,
}

impl<'t> Reader<'t> {
    fn read(&mut self, at: usize) {
        match &self.tokens[at] {
            Token::Name { name, quoted } => self.word(at, name, *quoted),
            Token::Sign(b'(') => self.open(at),
            Token::Sign(b')') => self.close(),
            Token::Sign(b';') => self.end_statement(),
            Token::Sign(b',') => self.level().expects = self.level().in_list,
            Token::Sign(b':') => {
                // A type: the relation's row.
                if self.sign_before(at, b':') && self.is_unqualified(at + 1) {
                    self.found.push(at + 1);
                }
            }
            Token::Operator(b"%") => {
                self.level().expects = false;
                let following = |keyword| self.follows(at, keyword);
                let named = match (following("rowtype"), following("type")) {
                    (true, _) => at.checked_sub(1),
                    (_, true) if at > 1 && self.sign_before(at - 1, b'.') => at.checked_sub(3),
                    _ => None,
                };
                if let Some(named) = named
                    && matches!(self.tokens[named], Token::Name { .. })
                    && !self.sign_before(named, b'.')
                {
                    self.found.push(named);
                }
            }
            _ => self.level().expects = false,
        }
    }

    fn word(&mut self, at: usize, name: &'t [u8], quoted: bool) {
        let keyword = if quoted { &b""[..] } else { name };
        match keyword {
            b"from" if self.precedes(at, "distinct") => self.level().expects = false,
            b"from" | b"join" => self.begin_list(),
            b"using" if self.level().deletes => self.begin_list(),
            b"only" => self.level().expects = true,
            b"lateral" => {}
            b"update" => self.expect(true),
            b"truncate" => self.begin_list(),
            b"into" => {
                let is_target = self.precedes(at, "insert") || self.precedes(at, "merge");
                self.expect(is_target);
            }
            b"table" => self.table(at),
            b"delete" | b"merge" => {
                self.expect(false);
                self.level().deletes = true;
            }
            b"with" if self.follows(at, "ordinality") => {}
            b"with" => {
                self.expect(false);
                self.level().with = true;
                self.level().recursive = self.follows(at, "recursive");
            }
            b"declare" => self.declares = true,
            b"begin" => self.declares = false,
            _ if ends_list(keyword) => self.expect(false),
            _ => {
                let declared = self.declares && self.is_after_name(at);
                let expected = std::mem::take(&mut self.level().expects);
                let is_query = self.queries.contains_key(name);
                let is_unqualified = self.is_unqualified(at);
                if expected && !(is_query && is_unqualified) || declared && is_unqualified {
                    self.found.push(at);
                }
            }
        }
    }

    /// `TABLE name` is short for a query, or follows LOCK and the like. What is created is not another relation.
    fn table(&mut self, at: usize) {
        let creates = ["create", "temp", "temporary", "unlogged"];
        let creates = creates.iter().any(|keyword| self.precedes(at, keyword));
        let is_type = self.tokens.get(at + 1) == Some(&Token::Sign(b'('));
        self.level().expects = !creates && !is_type;
    }

    fn open(&mut self, at: usize) {
        if self.levels.len() == MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        let named = at.checked_sub(1).and_then(|before| self.name(before));
        let mut defines = self.defined(at);
        if self.level().recursive
            && let Some(name) = defines.take()
        {
            self.give(name);
        }
        let expects = std::mem::take(&mut self.level().expects);
        self.levels.push(Level {
            expects,
            in_list: expects,
            named,
            defines,
            ..Level::default()
        });
    }

    fn close(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        if self.levels.len() == 1 {
            return;
        }
        self.end_statement();
        let closed = self.levels.pop().unwrap_or_default();
        self.level().expects = false;
        self.level().closed = closed.named;
        if let Some(name) = closed.defines {
            self.give(name);
        }
    }

    /// The query that the bracket at this position defines: `WITH name (…) AS NOT MATERIALIZED (…)`.
    fn defined(&mut self, at: usize) -> Option<&'t [u8]> {
        if !self.level().with {
            return None;
        }
        let mut before = at.checked_sub(1)?;
        for keyword in ["materialized", "not"] {
            if self.tokens[before].is(keyword) {
                before = before.checked_sub(1)?;
            }
        }
        if !self.tokens[before].is("as") {
            return None;
        }
        let before = before.checked_sub(1)?;
        match self.tokens[before] {
            Token::Sign(b')') => self.level().closed,
            _ => self.name(before),
        }
    }

    /// From here on the name means a query.
    fn give(&mut self, name: &'t [u8]) {
        *self.queries.entry(name).or_default() += 1;
        self.level().queries.push(name);
    }

    fn end_statement(&mut self) {
        let level = self.level();
        let ended = Level {
            named: level.named,
            defines: level.defines,
            ..Level::default()
        };
        for name in std::mem::replace(level, ended).queries {
            if let Some(given) = self.queries.get_mut(name) {
                *given -= 1;
                if *given == 0 {
                    self.queries.remove(name);
                }
            }
        }
    }

    fn level(&mut self) -> &mut Level<'t> {
        self.levels.last_mut().expect("one is never closed")
    }

    fn expect(&mut self, expects: bool) {
        self.level().expects = expects;
        self.level().in_list = false;
    }

    fn begin_list(&mut self) {
        self.level().expects = true;
        self.level().in_list = true;
    }

    fn name(&self, at: usize) -> Option<&'t [u8]> {
        match &self.tokens[at] {
            Token::Name { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether a name is here, with neither a schema nor a column.
    fn is_unqualified(&self, at: usize) -> bool {
        let is_name = matches!(self.tokens.get(at), Some(Token::Name { .. }));
        is_name && self.tokens.get(at + 1) != Some(&Token::Sign(b'.'))
    }

    /// Whether it may be the type of a variable, or a word after it.
    fn is_after_name(&self, at: usize) -> bool {
        at > 0 && self.name(at - 1).is_some() && !self.precedes(at, "declare")
    }

    fn precedes(&self, at: usize, keyword: &str) -> bool {
        at > 0 && self.tokens[at - 1].is(keyword)
    }

    fn follows(&self, at: usize, keyword: &str) -> bool {
        self.tokens
            .get(at + 1)
            .is_some_and(|token| token.is(keyword))
    }

    fn sign_before(&self, at: usize, sign: u8) -> bool {
        at > 0 && self.tokens[at - 1] == Token::Sign(sign)
    }
}

/// Whether no relation comes after a comma any more.
fn ends_list(keyword: &[u8]) -> bool {
    matches!(
        keyword,
        b"where"
            | b"group"
            | b"having"
            | b"order"
            | b"limit"
            | b"offset"
            | b"fetch"
            | b"window"
            | b"union"
            | b"intersect"
            | b"except"
            | b"for"
            | b"returning"
            | b"select"
            | b"set"
            | b"values"
            | b"then"
            | b"loop"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::tokens::tokens;

    fn named(text: &str) -> String {
        let tokens = tokens(text.as_bytes());
        let named = relations(&tokens).into_iter().map(|at| match &tokens[at] {
            Token::Name { name, .. } => String::from_utf8_lossy(name).into_owned(),
            other => format!("{other:?}"),
        });
        named.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn relations_are_found_wherever_sql_and_plpgsql_name_them() {
        for (text, expected) in [
            (
                "SELECT x, y FROM a, b AS c, \"D\" WHERE x IN (1, 2)",
                "a b D",
            ),
            (
                "SELECT x FROM a JOIN b ON a.x = b.x, c ORDER BY x, y",
                "a b c",
            ),
            ("SELECT x FROM a JOIN b USING (x, y), c", "a b c"),
            ("SELECT x FROM (a b JOIN c ON true), d", "a c d"),
            (
                "SELECT x FROM ((a JOIN b USING (x)) JOIN c USING (y))",
                "a b c",
            ),
            ("SELECT x FROM (SELECT p, q FROM a) AS b (x, y), c", "a c"),
            ("SELECT x FROM f(p, q) WITH ORDINALITY AS g, b", "f b"),
            (
                "SELECT x FROM a, LATERAL (SELECT y FROM b), ONLY c",
                "a b c",
            ),
            ("SELECT x FROM s.a, b, s.c", "s b s"),
            ("SELECT extract(year FROM p), q FROM b", "p b"),
            ("SELECT p IS DISTINCT FROM q, r", ""),
            ("SELECT p INTO q FROM b", "b"),
            ("DELETE FROM a USING b, c WHERE x", "a b c"),
            ("EXECUTE p USING q, r", ""),
            ("MERGE INTO a USING b ON x WHEN MATCHED THEN DELETE", "a b"),
            ("INSERT INTO a (p, q) VALUES (1, 2); SELECT p, q", "a"),
            ("UPDATE a SET p = 1, q = 2 FROM b, c", "a b c"),
            ("TABLE a", "a"),
            ("TRUNCATE a, b; LOCK TABLE c", "a b c"),
            ("CREATE TEMP TABLE a (p b)", ""),
            ("RETURNS TABLE(p integer)", ""),
            (
                "DECLARE p a%ROWTYPE; q b.p%TYPE; r s.c%ROWTYPE; t s.d.p%TYPE; BEGIN",
                "a b",
            ),
            ("DECLARE p a; q CONSTANT b; BEGIN p r; END", "a constant b"),
            ("SELECT NULL::a, x::s.b, y::c[]", "a c"),
            // A query's name is that of a relation within its own definition.
            ("WITH a AS (SELECT * FROM a) SELECT * FROM a, b", "a b"),
            (
                "WITH p AS (SELECT * FROM q), q AS NOT MATERIALIZED (TABLE b) SELECT * FROM p, q",
                "q b",
            ),
            (
                "WITH p (x, y) AS MATERIALIZED (SELECT 1, 2 FROM a) SELECT * FROM p, b",
                "a b",
            ),
            (
                "WITH RECURSIVE p AS (SELECT 1 UNION SELECT * FROM p, b) SELECT * FROM p",
                "b",
            ),
            (
                "SELECT * FROM (WITH p AS (SELECT 1), q AS (SELECT 2) SELECT * FROM p, q), p",
                "p",
            ),
            ("WITH p AS (SELECT 1) SELECT * FROM p; SELECT * FROM p", "p"),
            // Brackets that do not come in pairs.
            (") FROM a) FROM b ((( FROM c", "a b c"),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
        let deep = "(".repeat(5000) + "FROM a" + &")".repeat(5000) + "; SELECT 1 FROM b";
        assert_eq!(named(&deep), "a b");
    }
}
