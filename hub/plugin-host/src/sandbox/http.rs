//! The `http` capability: checks a plugin's request against its grants, fills in secrets, and sends it through the guard.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, Uri, header, http::HeaderName, http::HeaderValue};
use streamflow_component::HttpGrant;
use url::{Host, Position, Url};

use super::{
    bindings::streamflow::plugin::http::{self as wit, Error},
    guest::Guest,
};
use crate::egress::{EgressError, MAX_BODY, MAX_TIMEOUT};

/// Longest URL; receivers accept no longer ones either.
const MAX_URL: usize = 8 << 10;
/// Most headers of a request, and of an answer as the plugin sees it.
const MAX_HEADERS: usize = 64;

/// Headers that decide where a request goes and where it ends: the host's own business.
const OWN_HEADERS: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
];

impl wit::Host for Guest {
    async fn send(&mut self, request: wit::Request) -> Result<wit::Response, Error> {
        let started = Instant::now();
        let outcome = exchange(self, request).await.map_err(|error| match error {
            // It names the target, and a secret may have been filled in there.
            Error::Denied(reason) => Error::Denied(self.shown(&reason)),
            other => other,
        });
        self.waited += started.elapsed();
        self.setup.http.count(match &outcome {
            Ok(_) => "answered",
            Err(Error::Denied(_)) => "denied",
            Err(Error::Invalid(_)) => "invalid",
            Err(Error::Connect(_)) => "connect",
            Err(Error::Timeout) => "timeout",
            Err(Error::TooLarge) => "too_large",
            Err(Error::Other(_)) => "other",
        });
        if let Err(Error::Denied(reason)) = &outcome {
            tracing::warn!(
                plugin = self.setup.manifest.name,
                used_by = &*self.used_by,
                reason,
                "request of a plugin denied"
            );
        }
        outcome
    }
}

async fn exchange(guest: &mut Guest, request: wit::Request) -> Result<wit::Response, Error> {
    if !guest.take_request() {
        return Err(Error::Denied("too many requests in one call".to_owned()));
    }
    let timeout = request
        .timeout_ms
        .map_or(MAX_TIMEOUT, |ms| Duration::from_millis(ms.into()));
    let request = prepare(guest, request)?;
    let Some(egress) = guest.setup.egress.clone() else {
        return Err(Error::Denied("there is no way out of here".to_owned()));
    };
    let answer = egress.send(request, timeout).await.map_err(|error| match error {
        EgressError::Denied(denied) => Error::Denied(denied.to_string()),
        EgressError::Connect(reason) => Error::Connect(guest.shown(&reason)),
        EgressError::Timeout => Error::Timeout,
        EgressError::TooLarge => Error::TooLarge,
    })?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(wit::Response {
        status: answer.status.as_u16(),
        headers: answer
            .headers
            .iter()
            .take(MAX_HEADERS)
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: answer.body.into(),
    })
}

fn prepare(guest: &Guest, request: wit::Request) -> Result<Request<Full<Bytes>>, Error> {
    if request.body.len() > MAX_BODY {
        return Err(Error::TooLarge);
    }
    let mut bound = Vec::new();
    let mut fill = |text: &str| {
        guest
            .setup
            .secrets
            .fill(text, &guest.may, &mut bound)
            .map_err(Error::Denied)
    };
    let url = target(&fill(&request.url)?).map_err(|reason| Error::Invalid(reason.to_owned()))?;
    let mut headers = HeaderMap::new();
    if request.headers.len() > MAX_HEADERS {
        return Err(Error::Invalid(format!("more than {MAX_HEADERS} headers")));
    }
    for (name, value) in &request.headers {
        let parsed =
            HeaderName::try_from(name.as_str()).map_err(|_| Error::Invalid(format!("header name {name:?}")))?;
        if OWN_HEADERS.contains(&parsed) || parsed.as_str().starts_with("proxy-") || parsed == "keep-alive" {
            return Err(Error::Invalid(format!("header {name:?} is set by the hub")));
        }
        let mut value =
            HeaderValue::try_from(fill(value)?).map_err(|_| Error::Invalid(format!("value of header {name:?}")))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "streamflow/",
            env!("CARGO_PKG_VERSION")
        )));
    granted(guest, &url)?;
    for (name, hosts) in &bound {
        let host = url.host_str().unwrap_or_default();
        if !hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return Err(Error::Denied(format!("secret `{name}` is not for {host}")));
        }
    }
    let uri: Uri = url[..Position::AfterQuery]
        .parse()
        .map_err(|_| Error::Invalid("the URL".to_owned()))?;
    let mut built = Request::new(Full::new(Bytes::from(request.body)));
    *built.method_mut() = match request.method {
        wit::Method::Get => Method::GET,
        wit::Method::Post => Method::POST,
        wit::Method::Put => Method::PUT,
        wit::Method::Patch => Method::PATCH,
        wit::Method::Delete => Method::DELETE,
    };
    *built.uri_mut() = uri;
    *built.headers_mut() = headers;
    Ok(built)
}

/// Parsed once, by the rules that browsers use: `http://0x7f.1/` is 127.0.0.1 for the checks and for the connection alike.
pub(crate) fn target(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_URL {
        return Err("the URL is too long");
    }
    let Ok(url) = Url::parse(text) else {
        return Err("the URL cannot be read");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL holds a user name; send an authorization header instead");
    }
    Ok(url)
}

fn granted(guest: &Guest, url: &Url) -> Result<(), Error> {
    if guest
        .setup
        .manifest
        .http
        .iter()
        .any(|grant| grants(grant, &guest.config, url))
    {
        return Ok(());
    }
    let port = url.port_or_known_default().unwrap_or_default();
    let target = format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default());
    Err(Error::Denied(format!(
        "{target} is not among the targets that the plugin's manifest names"
    )))
}

fn grants(grant: &HttpGrant, config: &serde_json::Map<String, serde_json::Value>, url: &Url) -> bool {
    match grant {
        HttpGrant::Config(key) => {
            let written = config
                .get(key)
                .and_then(serde_json::Value::as_str)
                .and_then(|text| Url::parse(text).ok());
            written.is_some_and(|written| written.origin() == url.origin())
        }
        HttpGrant::Host { pattern, port } => {
            let Some(Host::Domain(host)) = url.host() else {
                return false;
            };
            let named = match pattern.strip_prefix("*.") {
                Some(domain) => host
                    .strip_suffix(domain)
                    .is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
                None => host == pattern,
            };
            named && url.scheme() == "https" && url.port_or_known_default() == Some(*port)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_reach_exactly_what_they_name() {
        let check = |grant: HttpGrant, url: &str, expected: bool| {
            let config = json!({"url": "https://Hooks.example.org/a?b=c", "other": 1});
            let found = grants(&grant, config.as_object().unwrap(), &Url::parse(url).unwrap());
            assert_eq!(found, expected, "{grant:?} {url}");
        };
        let config = |key: &str| HttpGrant::Config(key.to_owned());
        check(config("url"), "https://hooks.example.org/", true);
        check(config("url"), "https://hooks.example.org:443/x", true);
        check(config("url"), "http://hooks.example.org/", false);
        check(config("url"), "https://hooks.example.org:8443/", false);
        check(config("url"), "https://example.org/", false);
        check(config("other"), "https://hooks.example.org/", false);
        check(config("gone"), "https://hooks.example.org/", false);
        let host = |pattern: &str, port| HttpGrant::Host {
            pattern: pattern.to_owned(),
            port,
        };
        check(host("api.example.org", 443), "https://api.example.org/x", true);
        check(host("api.example.org", 443), "http://api.example.org/x", false);
        check(host("api.example.org", 443), "https://api.example.org:8443/x", false);
        check(host("api.example.org", 443), "https://api.example.org.evil.net/", false);
        check(host("*.example.org", 443), "https://a.example.org/", true);
        check(host("*.example.org", 443), "https://a.b.example.org/", true);
        check(host("*.example.org", 443), "https://example.org/", false);
        check(host("*.example.org", 443), "https://evilexample.org/", false);
        check(host("*.example.org", 443), "https://.example.org/", false);
    }
}
