//! Fetches a feed, by HTTP or from a file, within bounds: size, time, redirects. Reads nothing in it.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::source::Source;
use crate::duration;
use crate::exit::Failure;
use crate::text;

/// Largest document, unpacked.
const BODY_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// The same, as people are told.
const BODY_MAX_TOLD: &str = "8 MiB";
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the whole answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest validator that is kept.
const VALIDATOR_BYTES_MAX: usize = 1_024;
/// Longest piece of an error's words that is repeated, in bytes.
const WORDS_BYTES_MAX: usize = 200;
/// Who asks.
const USER_AGENT: &str = concat!("maille-news/", env!("CARGO_PKG_VERSION"));
/// What is asked for.
const ACCEPT: &str = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9, \
                      application/json;q=0.8, */*;q=0.1";
/// How long a feed that is gone for good is left alone.
const GONE_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a server wants to hear again, to say that nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validators {
    /// Of the `ETag` header.
    pub(crate) etag: Option<String>,
    /// Of the `Last-Modified` header.
    pub(crate) last_modified: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Nothing changed since the validators were given.
    NotModified,
    /// A document.
    Body {
        /// As it came, unpacked.
        bytes: Vec<u8>,
        /// Of the `Content-Type` header.
        content_type: Option<String>,
        /// To ask with next time.
        validators: Validators,
        /// Where it was found in the end, if the request was led elsewhere.
        led_to: Option<Url>,
    },
}

/// Why there is no document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// In words for people.
    pub(crate) what: String,
    /// How long the server wants not to be asked.
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    /// One without a server's wish.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            retry_after: None,
        }
    }
}

/// Asks servers, all in the same way.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    /// Whether this machine can tell whom to trust in https.
    has_authorities: bool,
}

impl Fetcher {
    /// One that goes through the proxy that the environment names, or directly.
    pub(crate) fn new(directly: bool) -> Result<Self, Failure> {
        let builder = || {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(ANSWER_TIMEOUT)
                .redirect(Policy::custom(follow));
            if directly { builder.no_proxy() } else { builder }
        };
        // Small machines may have no list of certificate authorities. Only https needs it.
        let (client, has_authorities) = match builder().build() {
            Ok(client) => (Ok(client), true),
            Err(_) => (builder().tls_certs_only([]).build(), false),
        };
        let client =
            client.map_err(|error| Failure::Other(format!("cannot prepare to ask by HTTP: {}", root_cause(&error))))?;
        Ok(Self {
            client,
            has_authorities,
        })
    }

    /// Fetches a feed.
    pub(crate) async fn fetch(&self, source: &Source, validators: &Validators) -> Result<Fetched, Problem> {
        match source {
            Source::File(path) => read(path).await,
            Source::Web(url) => self.ask(url, validators).await,
        }
    }

    async fn ask(&self, url: &Url, validators: &Validators) -> Result<Fetched, Problem> {
        if url.scheme() == "https" && !self.has_authorities {
            return Err(Problem::new(
                "this machine has no list of certificate authorities to check https with: install ca-certificates",
            ));
        }
        let request = self
            .client
            .get(url.clone())
            .header(header::ACCEPT, ACCEPT)
            .headers(conditions(validators));
        let response = request.send().await.map_err(|error| problem(&error))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::NotModified);
        }
        if !status.is_success() {
            let now = SystemTime::now();
            let wish = retry_after(response.headers(), now);
            return Err(Problem {
                what: match status {
                    StatusCode::GONE => "HTTP 410 Gone: take it off the list".to_owned(),
                    led if led.is_redirection() => format!("HTTP {led}: it leads nowhere that can be read"),
                    _ => format!("HTTP {status}"),
                },
                retry_after: match status {
                    StatusCode::GONE => Some(GONE_PAUSE),
                    _ => wish,
                },
            });
        }
        let text_of = |name: HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            (value.len() <= VALIDATOR_BYTES_MAX).then(|| value.to_owned())
        };
        let validators = Validators {
            etag: text_of(header::ETAG),
            last_modified: text_of(header::LAST_MODIFIED),
        };
        let content_type = text_of(header::CONTENT_TYPE);
        let led_to = (response.url() != url).then(|| response.url().clone());
        Ok(Fetched::Body {
            bytes: body(response).await?,
            content_type,
            validators,
            led_to,
        })
    }
}

fn conditions(validators: &Validators) -> HeaderMap {
    let pairs = [
        (header::IF_NONE_MATCH, &validators.etag),
        (header::IF_MODIFIED_SINCE, &validators.last_modified),
    ];
    let valid = |(name, value): (HeaderName, &Option<String>)| {
        let value = HeaderValue::from_str(value.as_deref()?).ok()?;
        Some((name, value))
    };
    pairs.into_iter().filter_map(valid).collect()
}

async fn body(mut response: Response) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(format!("more than {BODY_MAX_TOLD}: no feed needs that"));
    let announced = response.content_length().unwrap_or(0);
    if announced > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // Chunks are counted as they are unpacked: a small answer may unpack to a huge one.
    while let Some(chunk) = response.chunk().await.map_err(|error| problem(&error))? {
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn read(path: &Path) -> Result<Fetched, Problem> {
    let failed = |error: std::io::Error| Problem::new(text::line(&error.to_string(), WORDS_BYTES_MAX));
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed)?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(Problem::new(format!("more than {BODY_MAX_TOLD}: no feed needs that")));
    }
    Ok(Fetched::Body {
        bytes,
        content_type: None,
        validators: Validators::default(),
        led_to: None,
    })
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_web = matches!(attempt.url().scheme(), "http" | "https");
    let was_secret = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    let becomes_open = was_secret && attempt.url().scheme() == "http";
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
    }
    if !is_web {
        return attempt.error("a redirect to something that is not the web");
    }
    if becomes_open {
        return attempt.error("a redirect from https to http");
    }
    attempt.follow()
}

fn problem(error: &reqwest::Error) -> Problem {
    let cause = root_cause(error);
    Problem::new(if error.is_connect() && error.is_timeout() {
        format!("no connection within {}", duration::told(CONNECT_TIMEOUT))
    } else if error.is_timeout() {
        format!("no whole answer within {}", duration::told(ANSWER_TIMEOUT))
    } else if error.is_connect() {
        format!("cannot connect: {cause}")
    } else if error.is_redirect() {
        cause
    } else {
        format!("the answer cannot be read: {cause}")
    })
}

/// The innermost words of an error. The outer ones repeat the address, which may hold secrets.
fn root_cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    text::line(&innermost.to_string(), WORDS_BYTES_MAX)
}

/// `Retry-After: 120`, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    SystemTime::from(at).duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_ask_for_patience_in_two_ways() {
        let asked = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), None, "in the past");
        for odd in ["", "soon", "-1", "99999999999999999999999"] {
            assert_eq!(asked(odd), None, "{odd}");
        }
    }

    #[test]
    fn validators_that_are_no_headers_are_not_sent() {
        let odd = Validators {
            etag: Some("\"a\"\r\nX: y".to_owned()),
            last_modified: Some("Mon".to_owned()),
        };
        let headers = conditions(&odd);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key(header::IF_MODIFIED_SINCE));
    }
}
