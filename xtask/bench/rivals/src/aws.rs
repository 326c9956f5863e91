//! The identity cache of the AWS SDK, with a bearer token.

use std::time::{Duration, SystemTime};

use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::{
    auth::http::BearerAuthScheme, identity::IdentityCache,
    orchestrator::endpoints::StaticUriEndpointResolver, retries::strategy::NeverRetryStrategy,
};
use aws_smithy_runtime_api::client::{
    auth::static_resolver::StaticAuthSchemeOptionResolver,
    identity::{
        Identity, IdentityFuture, ResolveCachedIdentity as _, ResolveIdentity, SharedIdentityCache,
        SharedIdentityResolver, http::Token,
    },
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::config_bag::ConfigBag;
use bench::{
    Problem,
    interleave::{Kind, Operation, Subject},
    token,
};
use http::HeaderValue;

#[derive(Debug)]
struct Held(Token);

impl ResolveIdentity for Held {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let identity = Identity::new(self.0.clone(), self.0.expiration());
        IdentityFuture::ready(Ok(identity))
    }
}

struct Cached {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    bag: ConfigBag,
}

impl Operation for Cached {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        let identity =
            self.cache
                .resolve_cached_identity(self.resolver.clone(), &self.components, &self.bag);
        crate::bearer(identity.await.ok()?.data::<Token>()?.token())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the token is good until tomorrow"
)]
pub(crate) fn subjects() -> Result<Vec<Subject>, Problem> {
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let token = Token::new(token(), Some(tomorrow));
    let cache = IdentityCache::lazy()
        .load_timeout(Duration::from_secs(5))
        .build();
    let scheme = BearerAuthScheme::new();
    let components = RuntimeComponents::builder("bench")
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(Vec::new())))
        .with_endpoint_resolver(Some(StaticUriEndpointResolver::http_localhost(1)))
        .with_auth_scheme(scheme)
        .with_identity_cache(Some(cache.clone()))
        .with_identity_resolver("http-bearer-auth".into(), Held(token.clone()))
        .with_retry_strategy(Some(NeverRetryStrategy::new()))
        .with_time_source(Some(SystemTimeSource::new()))
        .with_sleep_impl(Some(TokioSleep::new()))
        .build()?;
    let cached = Cached {
        cache,
        resolver: SharedIdentityResolver::new(Held(token)),
        components,
        bag: ConfigBag::base(),
    };
    Ok(vec![Subject::of_operations(
        "aws-smithy, lazy identity cache",
        Kind::Rival,
        cached,
    )])
}
