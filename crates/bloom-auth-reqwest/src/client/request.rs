//! [`RequestBuilder`]: reqwest's own, for a client that puts the token in.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use reqwest::{Body, Request, Response};
use serde::Serialize;

use super::{AuthorizedClient, error::RequestError};

/// Builds a request as reqwest's builder of the same name does, and sends it
/// with the access token. What is wrong comes out when it is sent.
///
/// ```no_run
/// # async fn run(client: bloom_auth_reqwest::AuthorizedClient) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let response = client
///     .post("/v2/core/consumers")
///     .query(&[("notify", "no")])
///     .header("idempotency-key", "7f3d9a1c")
///     .timeout(Duration::from_secs(5))
///     .json(&std::collections::HashMap::from([("first_name", "Ada")]))
///     .send()
///     .await?
///     .error_for_status()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: AuthorizedClient,
    builder: Result<reqwest::RequestBuilder, RequestError>,
}

impl RequestBuilder {
    pub(super) fn new(
        client: AuthorizedClient,
        builder: Result<reqwest::RequestBuilder, RequestError>,
    ) -> Self {
        Self { client, builder }
    }

    /// Applies what reqwest's builder has and this one has not, such as
    /// `multipart`, where a program turns on that feature of reqwest.
    pub fn map(
        mut self,
        change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Self {
        self.builder = self.builder.map(change);
        self
    }

    /// Adds a header. An `Authorization` of one's own is sent as it is, in the
    /// place of the token.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.map(|builder| builder.header(name, value))
    }

    /// Adds headers, in the place of those of the same name.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.map(|builder| builder.headers(headers))
    }

    /// Adds pairs to the query of the URL.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.map(|builder| builder.query(query))
    }

    /// Sets the body to this value as JSON, with its content type.
    pub fn json<T: Serialize + ?Sized>(self, json: &T) -> Self {
        self.map(|builder| builder.json(json))
    }

    /// Sets the body to these pairs as a form, with its content type.
    pub fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        self.map(|builder| builder.form(form))
    }

    /// Sets the body. One that is a stream is sent once: should the API refuse
    /// the token, its 401 reaches the caller, and the next request has another
    /// token.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.map(|builder| builder.body(body))
    }

    /// Sets how long the request may take, until its answer is read: in the
    /// place of the client's own limit. A request that is sent again, or
    /// redirected, has this long each time, and waiting for a token is not
    /// counted.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.map(|builder| builder.timeout(timeout))
    }

    /// Sets the HTTP version.
    pub fn version(self, version: Version) -> Self {
        self.map(|builder| builder.version(version))
    }

    /// The request without a token, for
    /// [`AuthorizedClient::execute`].
    ///
    /// # Errors
    ///
    /// [`RequestError`] for what cannot be a request, and for a URL that the
    /// token may not go to.
    pub fn build(self) -> Result<Request, RequestError> {
        Ok(self.builder?.build()?)
    }

    /// Sends the request with the token.
    ///
    /// # Errors
    ///
    /// As [`AuthorizedClient::execute`], and as [`build`](Self::build).
    ///
    /// # Cancellation
    ///
    /// As [`AuthorizedClient::execute`].
    pub async fn send(self) -> Result<Response, RequestError> {
        let client = self.client.clone();
        client.execute(self.build()?).await
    }
}

impl fmt::Debug for RequestBuilder {
    // Without the URL, whose query may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("is_good", &self.builder.is_ok())
            .finish_non_exhaustive()
    }
}
