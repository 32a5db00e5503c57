//! Who asks, and what that allows: bearer tokens with scopes and targets, and a limit on how fast each may ask.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::{Problem, ProblemType};
use crate::config::{HttpConfig, Listen, Scope, TokenConfig};

/// Everybody who may ask.
pub(super) struct Access {
    tokens: Vec<Token>,
    /// Without tokens: whoever reaches the listener, which is then on this machine alone.
    everybody: Option<Token>,
    /// Whether requests without a token must be addressed to this machine.
    checks_host: bool,
    origins: Vec<String>,
}

struct Token {
    digest: [u8; 32],
    identity: Identity,
    limiter: DefaultDirectRateLimiter,
}

/// The only targets that somebody may use; `None`: all.
pub(super) type Targets = Option<Vec<String>>;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Identity(Arc<Rights>);

#[derive(Debug)]
struct Rights {
    /// The token's name in the configuration.
    name: Option<String>,
    scopes: Vec<Scope>,
    targets: Option<Vec<String>>,
}

impl Identity {
    /// The name of its token in the configuration; `None` without tokens.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The only targets whose backups it may use; `None`: all.
    pub(super) fn targets(&self) -> Option<&[String]> {
        self.0.targets.as_deref()
    }

    /// Whether it may see, start and cancel backups of a target.
    pub(super) fn may_use(&self, target: &str) -> bool {
        let among = |targets: &[String]| targets.iter().any(|name| name == target);
        self.targets().is_none_or(among)
    }

    pub(super) fn has(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope) || self.0.scopes.contains(&Scope::Admin)
    }
}

impl Access {
    pub(super) fn new(config: &HttpConfig) -> Self {
        let rate = NonZeroU32::new(config.limits.requests_per_second).unwrap_or(NonZeroU32::MIN);
        let limiter = || RateLimiter::direct(Quota::per_second(rate));
        let token = |(name, token): (&String, &TokenConfig)| Token {
            digest: digest(token.token.expose()),
            identity: Identity(Arc::new(Rights {
                name: Some(name.clone()),
                scopes: token.scopes.clone(),
                targets: token.targets.clone(),
            })),
            limiter: limiter(),
        };
        let everybody = config.tokens.is_empty().then(|| Token {
            digest: [0; 32],
            identity: Identity(Arc::new(Rights {
                name: None,
                scopes: Scope::ALL.to_vec(),
                targets: None,
            })),
            limiter: limiter(),
        });
        Self {
            tokens: config.tokens.iter().map(token).collect(),
            everybody,
            checks_host: matches!(config.listen, Some(Listen::Tcp(_))),
            origins: config.origins.clone(),
        }
    }

    /// Who sends a request of this method with these headers, if it is let in.
    pub(super) fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<Identity, Problem> {
        let token = match &self.everybody {
            Some(everybody) => {
                self.refuse_foreign_hosts(headers)?;
                everybody
            }
            None => self.token(headers)?,
        };
        self.refuse_foreign_pages(method, headers)?;
        if token.limiter.check().is_err() {
            return Err(Problem::new(
                ProblemType::TooManyRequests,
                "more requests came in this second than are allowed",
            )
            .hint("Wait as long as Retry-After says; an event stream needs no further requests."));
        }
        Ok(token.identity.clone())
    }

    fn token(&self, headers: &HeaderMap) -> Result<&Token, Problem> {
        let unauthenticated = |detail: &str| {
            Problem::new(ProblemType::Unauthenticated, detail)
                .hint("Send the header `Authorization: Bearer TOKEN` with a token of this daemon.")
        };
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value,
            (None, _) => return Err(unauthenticated("the request has no token")),
            _ => return Err(unauthenticated("the request has two tokens")),
        };
        let presented = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| digest(token.trim()))
            .ok_or_else(|| unauthenticated("the request has no bearer token"))?;
        // All of them, whichever matches: the time that this takes says nothing.
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.digest.ct_eq(&presented)) {
                found = Some(token);
            }
        }
        found.ok_or_else(|| unauthenticated("the request's token is unknown"))
    }

    /// A browser sends the name that its page was loaded under: a page whose name was made to lead to this machine is
    /// refused.
    fn refuse_foreign_hosts(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.checks_host {
            return Ok(());
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        match host {
            Some(host) if is_of_this_machine(host) => Ok(()),
            _ => Err(Problem::new(
                ProblemType::CrossSite,
                "the request's Host is not this machine",
            )
            .hint("Without tokens, send requests to localhost, 127.0.0.1 or [::1].")),
        }
    }

    /// Nothing is started or cancelled for a page of another site, nor anything shown to it, unless it is named.
    fn refuse_foreign_pages(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(origin) = text("origin")
            && self.origins.iter().any(|named| named == origin)
        {
            return Ok(());
        }
        let is_foreign = text("sec-fetch-site") == Some("cross-site");
        // Without tokens, the browser's user is whoever sits at this machine: a page of another site reads nothing either.
        if is_foreign && (method != Method::GET || self.everybody.is_some()) {
            return Err(Problem::new(
                ProblemType::CrossSite,
                "a page of another site may not do this",
            )
            .hint("Name its origin in `http.origins`."));
        }
        Ok(())
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn is_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_loopback = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|v4: Ipv4Addr| v4.is_loopback())
        }
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

/// Who asks, where the request was let in.
fn who(parts: &Parts) -> Result<Identity, Problem> {
    let identity = parts.extensions.get::<Identity>().cloned();
    identity.ok_or_else(|| Problem::new(ProblemType::Internal, "the request failed"))
}

/// The same, where its token has this scope.
fn of_scope(parts: &Parts, scope: Scope) -> Result<Identity, Problem> {
    let identity = who(parts)?;
    if identity.has(scope) {
        return Ok(identity);
    }
    let word = scope.word();
    Err(Problem::new(
        ProblemType::Forbidden,
        format!("the token does not have the scope `{word}`"),
    ))
}

/// Somebody who may see backups. Only a request's token makes one.
pub(super) struct Reader(pub(super) Identity);

/// Somebody who may see figures: with the scope for these alone, or as a reader. Only a request's token makes one.
pub(super) struct Scraper(pub(super) Identity);

/// Somebody who may ask for backups. Only a request's token makes one.
pub(super) struct Enqueuer(pub(super) Identity);

/// Somebody who may cancel backups. Only a request's token makes one.
pub(super) struct Canceller(pub(super) Identity);

/// Somebody who may see how the daemons are. Only a request's token makes one.
pub(super) struct Admin(pub(super) Identity);

/// Somebody with a token, whatever that may.
pub(super) struct Holder(pub(super) Identity);

impl<S: Sync> FromRequestParts<S> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        who(parts).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        of_scope(parts, Scope::Admin).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        of_scope(parts, Scope::Read).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Scraper {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let reader = of_scope(parts, Scope::Read);
        reader
            .or_else(|_| of_scope(parts, Scope::Metrics))
            .map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Enqueuer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        of_scope(parts, Scope::Enqueue).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Canceller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        of_scope(parts, Scope::Cancel).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_of_this_machine_are_accepted_without_tokens() {
        for host in [
            "localhost",
            "localhost:8686",
            "127.0.0.1:8686",
            "127.9.9.9",
            "[::1]:8686",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in [
            "",
            "rebound.example.com:8686",
            "10.0.0.1",
            "localhost.example.com",
            "[::2]",
            "127.0.0.1.example.com",
        ] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
