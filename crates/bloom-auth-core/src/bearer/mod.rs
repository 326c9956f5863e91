//! [`Bearer`]: puts the token into requests, and acts on what the API says of
//! it (RFC 6750).
//!
//! [`origin`] and [`verdict`] decide, without a clock, a lock or a wait; this
//! module asks the provider. Adapters to HTTP clients implement [`Exchange`]
//! and have [`Bearer::call`] do the rest.

mod origin;
mod verdict;

use std::{fmt, sync::Arc};

use http::{HeaderMap, StatusCode, header::AUTHORIZATION};

pub use self::{origin::Origin, verdict::Verdict};
use crate::{
    error::{ConfigurationError, Error},
    provider::TokenProvider,
    scope::Scopes,
    token::AccessToken,
};

/// Puts the access token into requests to Bloom's API, and replaces it when
/// the API refuses it.
///
/// - The token goes to the origin of the environment's API URL and to those
///   [allowed by name](Self::allow_origin), and nowhere else; plain http is
///   never among them, loopback apart where the environment allows that.
/// - An `Authorization` header that is there already is left alone.
/// - A 401 for the attached token, from the origin that received it, drops this
///   very token ([`TokenProvider::reject`]). If there is another one then, the
///   request is sent once more with it, if its body can be sent twice, and it
///   was not carried out and redirected before the 401. A late
///   401 for an old token costs nothing and spares the newer one; an API that
///   refuses every token causes one token request in 30 s at most, and its 401
///   reaches the caller.
/// - Every other answer is passed on, and so is the second 401.
///
/// Adapters to HTTP clients are in `bloom-auth-reqwest` and
/// `bloom-auth-tower`; an adapter to another one implements [`Exchange`].
/// Clones share everything.
///
/// # Example
///
/// For a client that has no place for an adapter:
///
/// ```
/// use bloom_auth_core::{Bearer, Error, Origin, TokenProvider};
/// use http::{HeaderMap, Response, Uri};
///
/// async fn get(
///     bearer: &Bearer, // `Bearer::new(provider)`
///     url: &Uri,
///     send: impl Fn(&Uri, HeaderMap) -> Response<String>,
/// ) -> Result<Response<String>, Error> {
///     let mut headers = HeaderMap::new();
///     let attachment = bearer.attach(Origin::of(url), &mut headers).await?;
///     let answer = send(url, headers);
///     if let Some(attachment) = attachment {
///         // A refused token is dropped here, so that the next request has another.
///         let _ = bearer.judge(&attachment, Origin::of(url), answer.status(), answer.headers());
///     }
///     Ok(answer)
/// }
/// ```
#[derive(Clone)]
pub struct Bearer {
    provider: TokenProvider,
    origins: Arc<[Origin<'static>]>,
    is_explicit: bool,
    replays: bool,
}

impl Bearer {
    /// Attaches the tokens of this provider to requests to its environment's
    /// API.
    #[must_use]
    pub fn new(provider: TokenProvider) -> Self {
        let api = Origin::of(provider.environment().api_url()).map(Origin::into_owned);
        Self {
            provider,
            origins: api.into_iter().collect(),
            is_explicit: false,
            replays: true,
        }
    }

    /// Lets the token go to another origin as well, such as
    /// `https://files.example.com`. Whoever answers there can use the token
    /// for as long as it lasts.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] for what is no origin, and for plain http
    /// (loopback apart, where the environment allows it).
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Result<Self, ConfigurationError> {
        let insecure_loopback = self.provider.environment().is_insecure_loopback();
        let origin = Origin::parse(origin.as_ref(), insecure_loopback)?;
        self.origins = self.origins.iter().cloned().chain([origin]).collect();
        Ok(self)
    }

    /// Takes a 401 for a refusal of the token only if its challenge says
    /// `invalid_token`. For an API that answers 401 to what has nothing to do
    /// with the token, and is exact about the rest.
    #[must_use]
    pub fn only_invalid_token(mut self) -> Self {
        self.is_explicit = true;
        self
    }

    /// Sends no request twice: the 401 for a refused token reaches the caller,
    /// and the next request has another token.
    #[must_use]
    pub fn without_replay(mut self) -> Self {
        self.replays = false;
        self
    }

    /// Where the tokens come from.
    #[must_use]
    pub fn provider(&self) -> &TokenProvider {
        &self.provider
    }

    /// Whether a token may go there.
    #[must_use]
    pub fn permits(&self, origin: &Origin<'_>) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    /// Puts the token into the headers of a request to this origin. `None`,
    /// and nothing is done, if the origin is none that the token may go to, or
    /// an `Authorization` header is there already.
    ///
    /// Ready at once whenever a usable token is held.
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token`].
    ///
    /// # Cancellation
    ///
    /// As [`TokenProvider::token`].
    pub async fn attach(
        &self,
        origin: Option<Origin<'_>>,
        headers: &mut HeaderMap,
    ) -> Result<Option<Attachment>, Error> {
        let origin = origin.and_then(|origin| self.position(&origin));
        self.attach_for(origin, headers).await
    }

    /// Judges the answer to a request that carried this attachment, and drops
    /// the token if the API refused it. `origin` is that of the URL which
    /// answered: after a redirect to another one, the token was not there.
    ///
    /// It does not wait, and makes no token request.
    #[must_use = "a rejected token is dropped, but the caller has to get another"]
    pub fn judge(
        &self,
        attachment: &Attachment,
        origin: Option<Origin<'_>>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Verdict {
        let is_ours = origin.is_some_and(|origin| self.received(attachment, &origin));
        if !is_ours {
            return Verdict::PassedOn;
        }
        let verdict = if self.is_explicit {
            Verdict::of_explicit(status, headers)
        } else {
            Verdict::of(status, headers)
        };
        match &verdict {
            Verdict::TokenRejected => {
                self.provider.reject(&attachment.token);
            }
            Verdict::ScopeMissing(scopes) => {
                let scopes = scopes.as_ref();
                let missing = scopes.and_then(|scopes| loggable(scopes, &attachment.token));
                tracing::warn!(
                    target: "bloom_auth.api",
                    missing,
                    fingerprint = %attachment.token.fingerprint(),
                    "the API wants a scope that the access token does not have",
                );
            }
            Verdict::PassedOn => {}
        }
        verdict
    }

    /// Another token than the rejected one, for the same origin: the current
    /// one by now, or one that is fetched. `None` if there is none, or too soon
    /// after another was dropped.
    ///
    /// # Cancellation
    ///
    /// As [`TokenProvider::token`].
    pub async fn another(&self, rejected: &Attachment) -> Option<Attachment> {
        // Why there is none, the events and the provider's status say; the
        // caller has the API's answer.
        let token = self.provider.token().await.ok()?;
        let origin = rejected.origin;
        (token != rejected.token).then_some(Attachment { token, origin })
    }

    /// Sends a request with the token, and once more with another one if the
    /// API refuses the first.
    ///
    /// # Errors
    ///
    /// Those of the exchange; and before anything is sent, those of
    /// [`TokenProvider::token`].
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the exchange. A token that was refused by then
    /// stays dropped.
    pub async fn call<E: Exchange + Send>(
        &self,
        mut exchange: E,
        mut request: E::Request,
    ) -> Result<E::Response, E::Error> {
        // Looked up before the headers are borrowed.
        let origin = exchange
            .destination(&request)
            .and_then(|origin| self.position(&origin));
        let headers = exchange.headers_mut(&mut request);
        let Some(attachment) = self.attach_for(origin, headers).await? else {
            return exchange.send(request).await;
        };
        let spare = if self.replays {
            exchange.spare(&request)
        } else {
            None
        };
        let response = exchange.send(request).await?;
        if self.answer(&exchange, &attachment, &response) != Verdict::TokenRejected {
            return Ok(response);
        }
        let Some(spare) = spare else {
            return Ok(response);
        };
        // Boxed, as what is rare must not make every future large.
        Box::pin(self.replay(exchange, spare, attachment, response)).await
    }

    async fn replay<E: Exchange + Send>(
        &self,
        mut exchange: E,
        spare: E::Spare,
        rejected: Attachment,
        response: E::Response,
    ) -> Result<E::Response, E::Error> {
        // Asked first: nobody waits for a token that would not be sent.
        let Some(mut request) = exchange.restore(spare) else {
            return Ok(response);
        };
        let Some(attachment) = self.another(&rejected).await else {
            return Ok(response);
        };
        drop(response);
        attachment.put_into(exchange.headers_mut(&mut request));
        let response = exchange.send(request).await?;
        let _ = self.answer(&exchange, &attachment, &response);
        Ok(response)
    }

    async fn attach_for(
        &self,
        origin: Option<usize>,
        headers: &mut HeaderMap,
    ) -> Result<Option<Attachment>, Error> {
        let (Some(origin), false) = (origin, headers.contains_key(AUTHORIZATION)) else {
            return Ok(None);
        };
        let token = match self.provider.fresh_token() {
            Some(token) => token,
            // Boxed, as what is rare must not make every future large.
            None => Box::pin(self.provider.token()).await?,
        };
        let attachment = Attachment { token, origin };
        attachment.put_into(headers);
        Ok(Some(attachment))
    }

    fn answer<E: Exchange>(
        &self,
        exchange: &E,
        attachment: &Attachment,
        response: &E::Response,
    ) -> Verdict {
        let (status, headers) = exchange.head(response);
        self.judge(attachment, exchange.answered_by(response), status, headers)
    }

    fn position(&self, origin: &Origin<'_>) -> Option<usize> {
        self.origins.iter().position(|allowed| allowed == origin)
    }

    fn received(&self, attachment: &Attachment, origin: &Origin<'_>) -> bool {
        self.position(origin) == Some(attachment.origin)
    }
}

/// The scopes as text, unless the server put the token that it was sent there.
fn loggable(scopes: &Scopes, token: &AccessToken) -> Option<String> {
    let text = scopes.to_string();
    (!text.contains(token.expose())).then_some(text)
}

impl From<TokenProvider> for Bearer {
    fn from(provider: TokenProvider) -> Self {
        Self::new(provider)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("provider", &self.provider)
            .field("origins", &self.origins)
            .field("is_explicit", &self.is_explicit)
            .field("replays", &self.replays)
            .finish()
    }
}

/// The token that a request carries, and the origin that it was for.
#[derive(Clone, Debug)]
pub struct Attachment {
    token: AccessToken,
    /// Its place in the list of those that are allowed.
    origin: usize,
}

impl Attachment {
    /// The token.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// Puts the token into the headers, in the place of what was there.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        headers.insert(AUTHORIZATION, self.token.authorization());
    }
}

/// What [`Bearer::call`] has to know of an HTTP client: an adapter says where
/// the parts of its requests and answers are, and decides nothing.
pub trait Exchange {
    /// A request that can be sent.
    type Request: Send;
    /// What it takes to send the request once more.
    type Spare: Send;
    /// An answer, whose body need not be read yet.
    type Response: Send;
    /// Why there is no answer.
    type Error: From<Error> + Send;

    /// To whom the request goes; `None` if the token must not go there.
    fn destination<'a>(&'a self, request: &'a Self::Request) -> Option<Origin<'a>>;

    /// The request's headers.
    fn headers_mut<'a>(&self, request: &'a mut Self::Request) -> &'a mut HeaderMap;

    /// What it takes to send the request once more, kept before it is sent;
    /// `None` if its body can be sent only once. The `Authorization` header is
    /// replaced afterwards.
    fn spare(&self, request: &Self::Request) -> Option<Self::Spare>;

    /// The request anew; `None` if it must not be sent again after all. So it is
    /// with one that changes something where the client has followed redirects,
    /// and another URL has answered: the first one has done its work by then.
    fn restore(&self, spare: Self::Spare) -> Option<Self::Request>;

    /// Sends a request and returns the head of its answer, whatever the status
    /// is.
    fn send(
        &mut self,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Response, Self::Error>> + Send;

    /// Status and headers of an answer.
    fn head<'a>(&self, response: &'a Self::Response) -> (StatusCode, &'a HeaderMap);

    /// Who answered: after redirects, the last one.
    fn answered_by<'a>(&'a self, response: &'a Self::Response) -> Option<Origin<'a>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_a_token_that_comes_back_as_a_scope_is_not_logged() {
        let token = AccessToken::from_text("eyJ.canary", 0, None).unwrap();
        for (scopes, logged) in [
            ("read write", Some("read write")),
            ("read eyJ.canary", None),
            ("x-eyJ.canary-x", None),
        ] {
            let scopes = scopes.parse().unwrap();
            assert_eq!(loggable(&scopes, &token).as_deref(), logged);
        }
    }
}
