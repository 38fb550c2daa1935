//! The page: files that the build put into the program.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;
use streamflow_web::ApiError;

/// `npm run build` writes here; empty where there was no Node.
#[derive(RustEmbed)]
#[folder = "ui/dist"]
struct Files;

/// What is served where the page was not built into the program.
const MISSING: &str = include_str!("ui/missing.html");
const INDEX: &str = "index.html";
/// The bundler puts a hash of the contents into the names below this folder.
const HASHED: &str = "assets/";

/// Answers what no route does: the page's files, and the page itself for its own addresses.
pub fn ui_fallback() -> Router {
    Router::new().fallback(answer)
}

async fn answer(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return ApiError::not_found(format!("there is no /{path}")).into_response();
    }
    match Files::get(path) {
        Some(file) if path != INDEX => serve(request.headers(), path, file),
        // the page has addresses of its own, such as /alerts, that only it knows
        _ if path.is_empty() || path == INDEX || accepts_html(request.headers()) => page(request.headers()),
        _ => ApiError::not_found(format!("there is no /{path}")).into_response(),
    }
}

fn page(headers: &HeaderMap) -> Response {
    match Files::get(INDEX) {
        Some(file) => serve(headers, INDEX, file),
        None => (
            [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
            ],
            MISSING,
        )
            .into_response(),
    }
}

fn serve(headers: &HeaderMap, path: &str, file: rust_embed::EmbeddedFile) -> Response {
    let tag = etag(&file.metadata.sha256_hash());
    let caching = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value == tag.as_str());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = match file.data {
            std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
            std::borrow::Cow::Owned(data) => data.into(),
        };
        let mut response = Body::from(body).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
        response
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Weak, because the answer may be compressed on its way.
fn etag(sha256: &[u8]) -> String {
    let hex: String = sha256.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_read_as_a_page_becomes_one() {
        let headers = |accept: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        assert!(accepts_html(&headers("text/html,application/xhtml+xml,*/*;q=0.8")));
        assert!(!accepts_html(&headers("application/json")));
        assert!(!accepts_html(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn the_page_answers_with_or_without_its_files() {
        let request = |path: &str, accept: &'static str| {
            Request::builder()
                .uri(path)
                .header(header::ACCEPT, accept)
                .body(Body::empty())
                .unwrap()
        };
        for path in ["/", "/alerts"] {
            let response = answer(request(path, "text/html")).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert_ne!(
                response.headers()[header::CACHE_CONTROL],
                "public, max-age=31536000, immutable"
            );
        }
        assert_eq!(
            answer(request("/nothing.js", "*/*")).await.status(),
            StatusCode::NOT_FOUND
        );
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let Some(path) = Files::iter().find(|path| path.starts_with(HASHED)) else {
            return;
        };
        let get = |tag: Option<HeaderValue>| {
            let mut request = Request::builder().uri(format!("/{path}")).body(Body::empty()).unwrap();
            if let Some(tag) = tag {
                request.headers_mut().insert(header::IF_NONE_MATCH, tag);
            }
            request
        };
        let first = answer(get(None)).await;
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(
            first.headers()[header::CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
        let again = answer(get(first.headers().get(header::ETAG).cloned())).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
