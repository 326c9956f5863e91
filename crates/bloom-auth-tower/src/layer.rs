//! [`BearerLayer`]: the settings.

use std::{fmt, sync::Arc};

use bloom_auth_core::{Bearer, ConfigurationError, Origin};
use http::{Extensions, Uri};
use tower_layer::Layer;

use crate::{
    replay::{ReplayCloned, ReplayEmpty},
    service::BearerService,
};

/// Puts the access token into the requests of the service that it is laid
/// around; see [the crate's page](crate).
///
/// # Bodies
///
/// To be sent twice, a request needs a second body. By default one whose body
/// is empty has it (the body's type must have a `Default`, which is taken for
/// the second one); [`replay_cloned`](Self::replay_cloned) clones the body, as
/// is right for one that is held in memory, and
/// [`replay_with`](Self::replay_with) leaves it to a function. Whatever the
/// method is: a 401 comes before any work. (Where redirects are followed further
/// in, it may come after: see [`final_url`](Self::final_url).)
///
/// For all others the 401 reaches the caller, and the next request has another
/// token. Nothing is buffered for a replay. A copy of the request's head is
/// kept until its answer is there, extensions included.
///
/// # Example
///
/// ```
/// # fn build(provider: bloom_auth_core::TokenProvider)
/// #     -> Result<(), bloom_auth_core::ConfigurationError> {
/// use bloom_auth_core::Bearer;
/// use bloom_auth_tower::BearerLayer;
///
/// let layer = BearerLayer::new(provider.clone());
///
/// // With more than the API's own origin, and for bodies in memory:
/// let bearer = Bearer::new(provider).allow_origin("https://files.example.com")?;
/// let layer = BearerLayer::new(bearer).replay_cloned();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct BearerLayer<P = ReplayEmpty> {
    config: Config<P>,
}

#[derive(Clone)]
pub(crate) struct Config<P> {
    pub(crate) bearer: Bearer,
    pub(crate) replay: P,
    /// Where requests without a host go.
    pub(crate) origin: Option<Uri>,
    pub(crate) final_url: Option<FinalUrl>,
}

type FinalUrl = fn(&Extensions) -> Option<&Uri>;

impl BearerLayer {
    /// A layer for the tokens of this provider, or as this [`Bearer`] says.
    pub fn new(bearer: impl Into<Bearer>) -> Self {
        let config = Config {
            bearer: bearer.into(),
            replay: ReplayEmpty,
            origin: None,
            final_url: None,
        };
        Self { config }
    }
}

impl<P> BearerLayer<P> {
    /// Sends a refused request once more with a clone of its body.
    ///
    /// For bodies whose clones hold all that is sent, such as `Full<Bytes>`.
    pub fn replay_cloned(self) -> BearerLayer<ReplayCloned> {
        self.with_replay(ReplayCloned)
    }

    /// Sends a refused request once more with the body that this function gave
    /// before the first was sent, and not at all if it gave none. It is called
    /// for each request that gets a token, so it should be cheap.
    ///
    /// It is also the way for a body's type without a `Default`.
    ///
    /// ```
    /// # fn build(layer: bloom_auth_tower::BearerLayer) {
    /// use bytes::Bytes;
    /// use http_body::Body as _;
    /// use http_body_util::Full;
    ///
    /// // Large bodies are not kept.
    /// let layer = layer.replay_with(|body: &Full<Bytes>| {
    ///     let is_small = body.size_hint().upper() <= Some(64 * 1024);
    ///     is_small.then(|| body.clone())
    /// });
    /// # }
    /// ```
    pub fn replay_with<B, F>(self, copy: F) -> BearerLayer<F>
    where
        F: Fn(&B) -> Option<B> + Clone + Send + Sync + 'static,
    {
        self.with_replay(copy)
    }

    /// Says where requests go whose URL is a path alone: the service inside
    /// knows the host, as a tonic channel does, and the layer cannot see it.
    ///
    /// Without this such a request is an error, and is not sent: whether the
    /// token may go where it goes is not known. A request with a whole URL goes
    /// by that URL all the same.
    ///
    /// ```
    /// # fn build(provider: bloom_auth_core::TokenProvider)
    /// #     -> Result<(), bloom_auth_core::ConfigurationError> {
    /// use bloom_auth_core::Bearer;
    /// use bloom_auth_tower::BearerLayer;
    ///
    /// let url = "https://grpc.example.com"; // the channel's
    /// let bearer = Bearer::new(provider).allow_origin(url)?;
    /// let layer = BearerLayer::new(bearer).for_origin(url)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] for what is no origin, and for one that the token
    /// may not go to: only the environment's own and those that the [`Bearer`]
    /// allows by name can be told.
    pub fn for_origin(mut self, origin: impl AsRef<str>) -> Result<Self, ConfigurationError> {
        const SETTING: &str = "origin of requests without a host";
        const FORM: &str = "use a form like `https://host` or `https://host:port`";
        let error = |problem, fix| ConfigurationError::new(SETTING, problem, fix);
        let uri = origin.as_ref().parse::<Uri>();
        let uri = uri.map_err(|_| error("is not a URL", FORM))?;
        let origin = Origin::of(&uri).ok_or_else(|| error("is not an origin", FORM))?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(error("has a path or a query", FORM));
        }
        if !self.config.bearer.permits(&origin) {
            let fix = "allow it by name with `Bearer::allow_origin`, or correct the API URL";
            return Err(error("is none that the token may go to", fix));
        }
        self.config.origin = Some(uri);
        Ok(self)
    }

    /// Says where an answer tells the URL that it came from, for a service that
    /// follows redirects: the 401 of another origin, which did not receive the
    /// token, says nothing of it; and a request that changes something, such as
    /// a `POST`, has done so by the time that it is redirected, and is not sent
    /// again for a 401 of where it led to. By default the request's own URL is
    /// taken.
    ///
    /// ```
    /// # fn build(layer: bloom_auth_tower::BearerLayer) {
    /// use tower_http::follow_redirect::RequestUri;
    ///
    /// let layer = layer.final_url(|extensions| {
    ///     extensions.get::<RequestUri>().map(|RequestUri(uri)| uri)
    /// });
    /// # }
    /// ```
    ///
    /// That such a service keeps the token from other origins is its own
    /// business: see [the crate's page](crate#where-it-belongs-in-a-stack).
    pub fn final_url(mut self, look_up: fn(&Extensions) -> Option<&Uri>) -> Self {
        self.config.final_url = Some(look_up);
        self
    }

    fn with_replay<Q>(self, replay: Q) -> BearerLayer<Q> {
        let Config {
            bearer,
            origin,
            final_url,
            ..
        } = self.config;
        let config = Config {
            bearer,
            replay,
            origin,
            final_url,
        };
        BearerLayer { config }
    }
}

impl<S, P: Clone> Layer<S> for BearerLayer<P> {
    type Service = BearerService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerService::new(inner, Arc::new(self.config.clone()))
    }
}

impl<P> fmt::Debug for BearerLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BearerLayer").field(&self.config).finish()
    }
}

/// The replay may be a closure, which has nothing to show.
impl<P> fmt::Debug for Config<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("bearer", &self.bearer)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
