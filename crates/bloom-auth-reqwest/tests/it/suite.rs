//! Proof that the suite has teeth: a client with one bad habit fails the check
//! that is meant for it, and passes without the habit.

use std::{fmt, pin::Pin};

use async_trait::async_trait;
use bloom_auth_core::{
    RequestBody, ResponseBody, Transport, TransportError, TransportErrorKind,
    test_util::transport_suite as suite,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use reqwest::{Client, redirect::Policy};
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    None,
    AsksForCompression,
    ChangesTheBody,
    FollowsRedirects,
    ForgetsHeaders,
    KnowsNoLimit,
    NamesTheUrl,
    TakesHalves,
    TakesStatusForError,
    TriesAgain,
}

/// A transport as one might write it in a hurry.
struct Careless {
    habit: Habit,
    client: Client,
}

impl Careless {
    fn new(habit: Habit) -> Self {
        let redirects = match habit {
            Habit::FollowsRedirects => Policy::default(),
            _ => Policy::none(),
        };
        let client = Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(redirects)
            .retry(reqwest::retry::never())
            .build();
        Self {
            habit,
            client: client.unwrap(),
        }
    }

    fn error(&self, error: reqwest::Error) -> TransportError {
        let kind = match error.is_connect() {
            true => TransportErrorKind::Connect,
            false => TransportErrorKind::Interrupted,
        };
        match self.habit {
            Habit::NamesTheUrl => TransportError::new(kind, error),
            _ => TransportError::new(kind, error.without_url()),
        }
    }

    async fn exchange(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        match self.habit {
            Habit::AsksForCompression => {
                let gzip = HeaderValue::from_static("gzip");
                request.headers_mut().insert(header::ACCEPT_ENCODING, gzip);
            }
            Habit::ChangesTheBody => {
                let lower = request.body().as_bytes().to_ascii_lowercase();
                *request.body_mut() = Bytes::from(lower).into();
            }
            _ => {}
        }
        let request = request.map(RequestBody::into_bytes);
        let request: reqwest::Request = request.try_into().unwrap();
        let request_again = request.try_clone().unwrap();
        let mut sent = self.client.execute(request).await;
        if sent.is_err() && self.habit == Habit::TriesAgain {
            sent = self.client.execute(request_again).await;
        }
        let mut response = sent.map_err(|error| self.error(error))?;
        if !response.status().is_success() && self.habit == Habit::TakesStatusForError {
            return Err(TransportErrorKind::Interrupted.into());
        }
        let mut all = Vec::new();
        let mut body = ResponseBody::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if self.habit == Habit::KnowsNoLimit => all.extend(chunk),
                Ok(Some(chunk)) => body.push(&chunk)?,
                Err(error) if self.habit != Habit::TakesHalves => return Err(self.error(error)),
                Ok(None) | Err(_) => break,
            }
        }
        if self.habit == Habit::KnowsNoLimit {
            body = Bytes::from(all).into();
        }
        let mut answer = Response::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = match self.habit {
            // As of a map with one value for each name.
            Habit::ForgetsHeaders => {
                let mut map = HeaderMap::new();
                for (name, value) in response.headers() {
                    map.insert(name, value.clone());
                }
                map
            }
            _ => response.headers().clone(),
        };
        Ok(answer)
    }
}

#[async_trait]
impl Transport for Careless {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        self.exchange(request).await
    }
}

impl fmt::Debug for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Careless({:?})", self.habit)
    }
}

type Check = fn(&dyn Transport) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

/// The message of the check's panic.
async fn complaint(habit: Habit, check: Check) -> Option<String> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { check(&Careless::new(habit)).await });
    let error = tasks.join_next().await.unwrap().err()?;
    let message = error.into_panic().downcast::<String>();
    Some(*message.unwrap())
}

#[tokio::test]
async fn bad_habits_are_found_out() {
    let rows: [(Habit, Check, &str); 12] = [
        (
            Habit::AsksForCompression,
            |t| Box::pin(suite::nothing_is_added(t)),
            "added `accept-encoding",
        ),
        (
            Habit::ChangesTheBody,
            |t| Box::pin(suite::the_request_is_sent_as_it_is(t)),
            "the body arrived changed",
        ),
        (
            Habit::FollowsRedirects,
            |t| Box::pin(suite::redirects_are_not_followed(t)),
            "the status",
        ),
        (
            Habit::ForgetsHeaders,
            |t| Box::pin(suite::headers_are_kept(t)),
            "www-authenticate",
        ),
        (
            Habit::KnowsNoLimit,
            |t| Box::pin(suite::bodies_end_at_the_limit(t)),
            "not collected with",
        ),
        (
            Habit::NamesTheUrl,
            |t| Box::pin(suite::errors_hold_nothing_of_the_exchange(t)),
            "canary-of-the-path",
        ),
        (
            Habit::NamesTheUrl,
            |t| Box::pin(suite::a_refused_port_is_no_connection(t)),
            "canary-of-the-query",
        ),
        (
            Habit::TakesHalves,
            |t| Box::pin(suite::a_body_that_ends_early_is_no_answer(t)),
            "taken for the answer",
        ),
        (
            Habit::TakesHalves,
            |t| Box::pin(suite::chunks_that_end_early_are_no_answer(t)),
            "taken for the answer",
        ),
        (
            Habit::TakesHalves,
            |t| Box::pin(suite::a_connection_that_breaks_is_interrupted(t)),
            "taken for the answer",
        ),
        (
            Habit::TakesStatusForError,
            |t| Box::pin(suite::every_status_is_an_answer(t)),
            "no answer",
        ),
        (
            Habit::TriesAgain,
            |t| Box::pin(suite::a_head_that_ends_early_is_no_answer(t)),
            "requests",
        ),
    ];
    for (habit, check, expected) in rows {
        let found = complaint(habit, check).await;
        let found = found.unwrap_or_else(|| panic!("{habit:?} was not found out"));
        assert!(found.contains(expected), "{habit:?}: {found}");
        assert_eq!(complaint(Habit::None, check).await, None, "{habit:?}");
    }
}
