//! The tasks that may still run: those of the newest flight and of the one
//! before it, which may have been superseded and still bring a token.

const MAX_TASKS: usize = 2;

/// Handles of tasks by their flight's generation, the oldest first.
///
/// A place is taken before the task is spawned and given up when the flight is
/// over, so that whichever comes first, handle or end, nothing is kept of a
/// task that is over: a handle alone keeps several KB.
#[derive(Debug)]
pub(crate) struct Tasks<H>([Option<Place<H>>; MAX_TASKS]);

#[derive(Debug)]
struct Place<H> {
    generation: u64,
    /// None until the task has been spawned.
    handle: Option<H>,
}

impl<H> Default for Tasks<H> {
    fn default() -> Self {
        Self([const { None }; MAX_TASKS])
    }
}

impl<H> Tasks<H> {
    /// Takes a place for the task of a new flight. Returns the handle of the
    /// task that is pushed out, which has been superseded twice.
    #[must_use]
    pub(crate) fn reserve(&mut self, generation: u64) -> Option<H> {
        let [previous, newest] = &mut self.0;
        let reserved = Some(Place {
            generation,
            handle: None,
        });
        let pushed_out = match std::mem::replace(newest, reserved) {
            Some(superseded) => previous.replace(superseded),
            None => None,
        };
        pushed_out?.handle
    }

    /// Keeps the handle of a task that has been spawned. Returns it if there
    /// is no place for it any more: it is over, or has been pushed out.
    #[must_use]
    pub(crate) fn fill(&mut self, generation: u64, handle: H) -> Option<H> {
        match self
            .0
            .iter_mut()
            .flatten()
            .find(|it| it.generation == generation)
        {
            Some(place) => place.handle.replace(handle),
            None => Some(handle),
        }
    }

    /// Lets go of a task that is over, and returns what was kept of it.
    pub(crate) fn remove(&mut self, generation: u64) -> Option<H> {
        let is_it = |place: &mut Place<H>| place.generation == generation;
        self.0
            .iter_mut()
            .find_map(|place| place.take_if(is_it))?
            .handle
    }

    /// Whether no task may run.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// All handles there are.
    pub(crate) fn into_handles(self) -> impl Iterator<Item = H> {
        self.0
            .into_iter()
            .flatten()
            .filter_map(|place| place.handle)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use http::{Request, Response};

    use super::*;
    use crate::{
        AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, RequestBody,
        ResponseBody, TokenProvider, Transport, TransportError,
    };

    fn handles(tasks: Tasks<u64>) -> Vec<u64> {
        tasks.into_handles().collect()
    }

    #[test]
    fn the_last_two_tasks_are_kept_and_what_is_pushed_out_comes_back() {
        let mut tasks = Tasks::default();
        for generation in 1..=4_u64 {
            let pushed_out = generation.checked_sub(2).filter(|oldest| *oldest > 0);
            assert_eq!(tasks.reserve(generation), pushed_out);
            assert_eq!(tasks.fill(generation, generation), None);
        }
        assert_eq!(handles(tasks), [3, 4]);
    }

    #[test]
    fn a_place_that_is_free_pushes_nothing_out() {
        let mut tasks = Tasks::default();
        for generation in 1..=2 {
            assert_eq!(tasks.reserve(generation), None);
            assert_eq!(tasks.fill(generation, generation), None);
        }
        assert_eq!(tasks.remove(2), Some(2));
        assert_eq!(tasks.remove(2), None);
        assert_eq!(tasks.reserve(3), None);
        assert_eq!(tasks.fill(3, 3), None);
        assert_eq!(handles(tasks), [1, 3]);
    }

    #[test]
    fn a_handle_that_comes_too_late_comes_back() {
        let mut tasks = Tasks::default();
        // The task was over before its handle was there.
        assert_eq!(tasks.reserve(1), None);
        assert_eq!(tasks.remove(1), None);
        assert!(tasks.is_empty());
        assert_eq!(tasks.fill(1, 1), Some(1));
        assert!(tasks.is_empty());
        // It was pushed out before.
        for generation in 2..=4 {
            assert_eq!(tasks.reserve(generation), None);
        }
        assert_eq!(tasks.fill(2, 2), Some(2));
        assert_eq!(tasks.fill(3, 3), None);
        assert_eq!(tasks.fill(4, 4), None);
        assert_eq!(handles(tasks), [3, 4]);
    }

    #[derive(Debug)]
    struct Answer(&'static str);

    #[async_trait]
    impl Transport for Answer {
        async fn send(
            &self,
            _: Request<RequestBody>,
        ) -> Result<Response<ResponseBody>, TransportError> {
            tokio::task::yield_now().await;
            let mut body = ResponseBody::new();
            body.push(self.0.as_bytes())?;
            Ok(Response::new(body))
        }
    }

    #[test]
    fn an_idle_provider_holds_nothing_of_its_last_fetch() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        for (answer, is_good) in [
            (r#"{"access_token":"a","token_type":"Bearer"}"#, true),
            ("<html>", false),
        ] {
            let id = ClientId::new("client").unwrap();
            let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
            let environment = Environment::sandbox(AuthVersion::V1);
            let provider = TokenProvider::builder(environment, credentials, Answer(answer));
            let provider = provider.build().unwrap();
            let is_idle = || provider.shared.engine().tasks.is_empty();
            runtime.block_on(async {
                assert_eq!(provider.try_authorization(), None);
                assert!(!is_idle());
                assert_eq!(provider.token().await.is_ok(), is_good);
            });
            assert!(is_idle(), "{answer}");
        }
    }
}
