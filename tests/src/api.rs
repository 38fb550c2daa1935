//! A client of the hub's HTTP API.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// An HTTP client; reqwest is built without a TLS provider of its own.
#[must_use]
pub fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::new()
}

/// A signed-in client.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    /// `http://host:port`.
    pub base: String,
    /// Access token.
    pub token: String,
}

impl Api {
    /// Signs in.
    ///
    /// # Panics
    /// When the hub refuses.
    pub async fn sign_in(base: &str, username: &str, password: &str) -> Self {
        let anonymous = Self::anonymous(base);
        let (status, body) = anonymous
            .post("/auth/login", &json!({"username": username, "password": password}))
            .await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["token_type"], "bearer");
        Self {
            token: body["access_token"].as_str().expect("token").to_owned(),
            ..anonymous
        }
    }

    /// A client that is not signed in.
    #[must_use]
    pub fn anonymous(base: &str) -> Self {
        Self {
            client: client(),
            base: base.to_owned(),
            token: String::new(),
        }
    }

    /// The same client with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// A request to be completed by the caller.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    /// Sends a request; answers status and JSON (or `null`).
    ///
    /// # Panics
    /// When the hub does not answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        let response = request.send().await.expect("the hub answers");
        let status = response.status();
        (
            status,
            serde_json::from_slice(&response.bytes().await.expect("body")).unwrap_or(Value::Null),
        )
    }

    /// GET.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// POST of a body of any type.
    pub async fn post_raw(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        self.send(
            self.request(Method::POST, path)
                .header("content-type", content_type)
                .body(body),
        )
        .await
    }

    /// Sends a raw body; answers the status alone, without looking at the rest of the answer.
    ///
    /// # Panics
    /// When the hub does not answer.
    pub async fn push_raw(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        let request = self.request(Method::POST, path).header("content-type", content_type);
        let answer = request.body(body).send().await.expect("an answer");
        let status = answer.status();
        answer.bytes().await.expect("a whole answer");
        status
    }

    /// All events that match, page by page.
    ///
    /// # Panics
    /// When the hub refuses.
    pub async fn all_events(&self, query: &Value) -> Vec<Value> {
        let mut events = Vec::new();
        let mut query = query.clone();
        query["limit"] = json!(10_000);
        loop {
            let (status, page) = self.post("/api/v1/events/query", &query).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            events.extend(page["data"].as_array().expect("data").iter().cloned());
            if page["pagination"]["has_next"] != true {
                return events;
            }
            query["cursor"] = page["pagination"]["next_cursor"].clone();
        }
    }
}
