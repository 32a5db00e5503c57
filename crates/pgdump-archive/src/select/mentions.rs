//! What a text refers to that PostgreSQL records no dependency of.
//!
//! Of a function, PostgreSQL records its arguments and a body that it has parsed, but not a body that is a string.
//! Words that are names of objects are taken for references: one object too many does no harm, one too few makes an
//! index, a check or a default fail.

use std::collections::HashSet;

use super::names::{Names, Qualified, qualified};
use super::relations::relations;
use super::role;
use super::tokens::{Token, after, is_word, tokens};
use crate::TocEntry;

/// Strings within strings within … that are read.
const MAX_DEPTH: usize = 4;

/// A function whose search path has more schemas is taken for one without a search path.
const MAX_SCHEMAS: usize = 64;

/// What a text refers to; entries are known by their positions.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    pub(super) entries: HashSet<usize>,
    /// Operators of this name: they are meant only if the types of their operands are there.
    pub(super) operators: HashSet<usize>,
    /// Tables and views, whose rows may matter. Only who asks for a table gets it; views are among `entries`, too.
    pub(super) relations: HashSet<usize>,
    /// `schema.name` of what is not in the archive, nor can be an extension's.
    pub(super) absent: HashSet<(Vec<u8>, Vec<u8>)>,
    /// What has been added already: the first of several of one name, their number, and the name's length.
    pub(super) added: HashSet<(usize, usize, usize)>,
}

/// What texts have named already. What it stands for is kept, or may be meant, whichever text names it.
#[derive(Debug, Default)]
pub(super) struct LookedUp<'a> {
    extensions: bool,
    /// Objects of one schema: the first of them, and the length of their name.
    nearest: HashSet<(usize, usize)>,
    /// Names of objects of all schemas.
    everywhere: HashSet<&'a [u8]>,
    operators: HashSet<&'a [u8]>,
}

pub(super) struct Mentions<'n, 'a> {
    pub(super) entries: &'a [TocEntry],
    pub(super) names: &'n Names<'a>,
    pub(super) looked_up: &'n mut LookedUp<'a>,
}

impl Mentions<'_, '_> {
    /// What this function may refer to, but for what another that was asked for before refers to, too. Relations and
    /// absent names are of this one alone.
    pub(super) fn of_function(&mut self, function: &TocEntry) -> Mentioned {
        let text = function.definition_bytes();
        let tokens = tokens(text);
        let scope = scope(function, &tokens);
        let mut found = Mentioned::default();
        if !std::mem::replace(&mut self.looked_up.extensions, true) {
            found.entries.extend(self.names.extensions());
        }
        for word in text
            .split(|byte| !is_word(*byte))
            .filter(|word| !word.is_empty())
        {
            self.object(&scope, word, &mut found);
            // As it is if quoted, in lower case if not.
            self.object(&scope, &word.to_ascii_lowercase(), &mut found);
        }
        // In other languages quotes may not come in pairs.
        for skip in [0, 1] {
            let parts = text.split(|byte| *byte == b'"').skip(skip);
            parts
                .skip(1)
                .step_by(2)
                .for_each(|name| self.object(&scope, name, &mut found));
        }
        let is_sql = is_sql(&tokens);
        let depth = if is_sql { MAX_DEPTH } else { 1 };
        let (arguments, body) = tokens.split_at(header(&tokens));
        self.walk(&scope, arguments, depth, &mut found);
        // A table's row is an argument: this alone does not read the table.
        found.relations.clear();
        found.added.clear();
        self.walk(&scope, body, depth, &mut found);
        if !is_sql {
            found.relations.clear();
            found.absent.clear();
        }
        found
    }

    /// What a text refers to in which PostgreSQL has written each name with its schema.
    pub(super) fn of_definition(&self, entry: &TocEntry) -> Mentioned {
        let tokens = tokens(entry.definition_bytes());
        let tokens = about_itself(&tokens);
        let mut found = Mentioned::default();
        let mut schemas = HashSet::new();
        for (of, end) in qualified(tokens) {
            // `toast.autovacuum_enabled='false'`
            let is_setting =
                of.schema == b"toast" && tokens.get(end) == Some(&Token::Operator(b"="));
            if is_setting || self.qualified(of, &mut found) {
                continue;
            }
            if !self.names.may_be_of_extension(of.schema) {
                found.absent.insert((of.schema.to_vec(), of.name.to_vec()));
            } else if schemas.insert(of.schema) {
                found.entries.extend(self.names.extensions_in(of.schema));
            }
        }
        for window in tokens.windows(2).filter(|window| window[0].is("using")) {
            if let Token::Name { name, .. } = &window[1] {
                found.entries.extend(self.names.access_methods(name));
            }
        }
        found
    }

    /// What its texts name, each with its schema: a constant that is cast to `regclass` only when the expression runs.
    /// Most texts name nothing, so what they do not name is not missed.
    pub(super) fn of_constants(&self, entry: &TocEntry) -> HashSet<usize> {
        let tokens = tokens(entry.definition_bytes());
        let texts = about_itself(&tokens).iter();
        let texts = texts.filter_map(|token| match token {
            Token::Text(text) => Some(super::tokens::tokens(text)),
            _ => None,
        });
        let mut found = HashSet::new();
        for text in texts {
            for (of, _) in qualified(&text) {
                found.extend(self.names.objects_named(of));
            }
        }
        found
    }

    /// A function's text, and the strings in it: they may be its body, or be executed.
    fn walk(&mut self, scope: &[&[u8]], tokens: &[Token<'_>], depth: usize, found: &mut Mentioned) {
        let relations = relations(tokens);
        for (of, end) in qualified(tokens) {
            let is_call = tokens.get(end) == Some(&Token::Sign(b'('));
            let known = self.names.has_schema(of.schema) || of.schema == b"public";
            let exists = self.qualified(of, found) || self.names.may_be_of_extension(of.schema);
            // A string that is not executed may name anything, and `a.b (` may be a column of a list.
            let is_read = || relations.binary_search(&(end - 3)).is_ok();
            if !exists && known && depth + 1 >= MAX_DEPTH && (is_call || is_read()) {
                found.absent.insert((of.schema.to_vec(), of.name.to_vec()));
            }
        }
        for at in relations {
            match &tokens[at..] {
                [_, Token::Sign(b'.'), ..] => {}
                [Token::Name { name, .. }, ..] => self.relation(scope, name, found),
                _ => {}
            }
        }
        for token in tokens {
            match token {
                Token::Name { name, .. } => self.object(scope, name, found),
                Token::Operator(sign) => self.operator(sign, found),
                Token::Text(text) => {
                    self.object(scope, text, found);
                    if depth > 0 {
                        self.walk(scope, &super::tokens::tokens(text), depth - 1, found);
                    }
                }
                Token::Number | Token::Sign(_) => {}
            }
        }
    }

    /// An object without its schema: the nearest, or where none is near, those of all schemas, since the search path
    /// of who calls the function is not known.
    fn object(&mut self, scope: &[&[u8]], name: &[u8], found: &mut Mentioned) {
        let Some((name, all)) = self.names.objects(name) else {
            return;
        };
        if let Some(nearest) = nearest(self.names, all, scope) {
            for some in nearest {
                if self.looked_up.nearest.insert((some[0], name.len())) {
                    found.entries.extend(some);
                }
            }
        } else if self.looked_up.everywhere.insert(name) {
            found.entries.extend(all);
        }
    }

    /// Of whatever schema: which one is meant depends on the types of its operands.
    fn operator(&mut self, sign: &[u8], found: &mut Mentioned) {
        if let Some((sign, all)) = self.names.operators(sign)
            && self.looked_up.operators.insert(sign)
        {
            found.operators.extend(all);
        }
    }

    /// A relation without its schema.
    fn relation(&self, scope: &[&[u8]], name: &[u8], found: &mut Mentioned) {
        let all = self.names.relations(name);
        let nearest = nearest(self.names, all, scope).unwrap_or_else(|| vec![all]);
        for some in nearest {
            self.add(some, name, found);
        }
    }

    /// Whether there is something of this name.
    fn qualified(&self, of: Qualified<'_>, found: &mut Mentioned) -> bool {
        let kinds = self.names.kinds_named(of);
        for some in kinds {
            self.add(some, of.name, found);
        }
        let multirange = self.names.multirange(of);
        found.entries.extend(multirange);
        multirange.is_some() || kinds.iter().any(|some| !some.is_empty())
    }

    /// Adds objects of one kind and name.
    fn add(&self, some: &[usize], name: &[u8], found: &mut Mentioned) {
        let Some(first) = some.first() else { return };
        if !found.added.insert((*first, some.len(), name.len())) {
            return;
        }
        for at in some {
            let entry = &self.entries[*at];
            if role::is_relation(entry) {
                found.relations.insert(*at);
            }
            match role::text(entry) {
                "OPERATOR" => found.operators.insert(*at),
                "TABLE" | "FOREIGN TABLE" => false,
                _ => found.entries.insert(*at),
            };
        }
    }
}

/// Those of one name that are in one of these schemas, by schema; `None` where there are none.
fn nearest<'n>(
    names: &'n Names<'_>,
    all: &'n [usize],
    scope: &[&[u8]],
) -> Option<Vec<&'n [usize]>> {
    let found = scope.iter().map(|schema| names.within(all, schema));
    let found: Vec<_> = found.filter(|some| !some.is_empty()).collect();
    (!found.is_empty()).then_some(found)
}

/// The schemas in which the function's names are looked for first: its own, and those of its `SET search_path`. `None`
/// if its text may set another.
fn scope<'t>(function: &'t TocEntry, tokens: &'t [Token<'_>]) -> Vec<&'t [u8]> {
    let setting = after(tokens, &["set", "search_path"]);
    let text = function.definition_bytes();
    if memchr::memmem::find_iter(text, "search_path").count() > usize::from(setting.is_some()) {
        return Vec::new();
    }
    let own = function.schema.iter().map(|schema| schema.as_bytes());
    let path = setting.map_or(&[][..], |at| &tokens[at..]);
    // `TO 's', "t"`
    let names = path.iter().skip(1).step_by(2);
    let names = names.map_while(|token| match token {
        Token::Name { name, .. } | Token::Text(name) => Some(&**name),
        _ => None,
    });
    let commas = path.iter().skip(2).step_by(2);
    let commas = commas.take_while(|token| **token == Token::Sign(b','));
    let path = names.take(commas.count() + 1);
    let mut scope: Vec<_> = own.chain(path).take(MAX_SCHEMAS + 1).collect();
    if scope.len() > MAX_SCHEMAS {
        scope.truncate(1);
    }
    scope.sort_unstable();
    scope.dedup();
    scope
}

/// Whether the function is written in SQL or PL/pgSQL. An argument may be called `language`, too.
fn is_sql(tokens: &[Token<'_>]) -> bool {
    let is_named = |name: &Token<'_>| name.is("sql") || name.is("plpgsql");
    let mut pairs = tokens.windows(2);
    pairs.any(|pair| pair[0].is("language") && is_named(&pair[1]))
}

/// Where a function's name, arguments and result end, and its language, settings and body begin.
fn header(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_i64;
    let language = tokens.iter().position(|token| {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth -= 1,
            _ => {}
        }
        depth == 0 && token.is("language")
    });
    language.unwrap_or(0)
}

/// The first statement of a definition: what follows is about the object.
fn about_itself<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let end = tokens.iter().position(|token| *token == Token::Sign(b';'));
    &tokens[..end.unwrap_or(tokens.len())]
}
