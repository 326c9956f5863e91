//! `bloom-auth request`: an API call with the token.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    time::Duration,
};

use bloom_auth::RequestError;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{Context, block_on, patiently, until_signal};
use crate::{
    args::RequestArgs,
    exit::{Exit, Failure},
    output::{self, Harmless},
};

/// What is kept in memory, so that it can be sent again with another token.
const MAX_BODY_BYTES: u64 = 256 * 1024 * 1024;

pub(crate) fn run(args: &RequestArgs, context: &Context) -> Result<(), Failure> {
    let method = method(&args.method)?;
    let mut headers = headers(&args.header)?;
    if args.settings.secret_stdin && args.data.as_deref() == Some("@-") {
        return Err(Failure::settings(
            "--secret-stdin and `--data @-` both read the standard input: use \
             --client-secret-file, or --data with `@FILE`",
        ));
    }
    let body = args.data.as_deref().map(body).transpose()?;
    if body.is_some() && !headers.contains_key(header::CONTENT_TYPE) {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    if args.allow_origin.is_empty() && is_url(&args.path) {
        return Err(Failure::settings(
            "the path is a whole URL: use the path alone, such as /v2/core/organization, or \
             --allow-origin with the origin that may get the token",
        ));
    }
    let settings = context.settings(&args.settings)?;
    let mut builder = settings.builder()?;
    for origin in &args.allow_origin {
        builder = builder.allow_origin(origin);
    }
    let auth = settings.finish(builder)?;
    let mut request = auth
        .api()
        .request(method, &args.path)
        .timeout(Duration::from_secs(args.timeout.into()))
        .headers(headers);
    if let Some(body) = body {
        request = request.body(body);
    }
    block_on(async {
        let send = async {
            request.send().await.map_err(|error| match error {
                RequestError::Http(error) if error.is_timeout() && !error.is_connect() => {
                    too_late(args.timeout)
                }
                error => error.into(),
            })
        };
        let mut response = patiently("waiting for the API", send).await?;
        let status = response.status();
        // A file gets every byte; a terminal would take some for commands.
        let mut harmless = io::stdout().is_terminal().then(Harmless::default);
        let mut shown = move |mut bytes: Vec<u8>| {
            if let Some(harmless) = &mut harmless {
                harmless.make(&mut bytes);
            }
            bytes
        };
        if args.include {
            output::print(&shown(head(status, response.headers())))?;
        }
        until_signal(async {
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => write(shown(chunk.into())).await?,
                    Ok(None) => return Ok(()),
                    Err(error) if error.is_timeout() => return Err(too_late(args.timeout)),
                    Err(_) => {
                        let message = "the API's answer broke off";
                        return Err(Failure::new(Exit::Unavailable, message));
                    }
                }
            }
        })
        .await?;
        verdict(status)
    })
}

fn too_late(seconds: u32) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!(
            "the API's answer was not complete within {seconds} s: raise --timeout, or try again"
        ),
    )
}

/// On a thread of its own, so that a reader which stands still does not keep a
/// signal from ending us.
async fn write(chunk: Vec<u8>) -> Result<(), Failure> {
    let written = tokio::task::spawn_blocking(move || output::print(&chunk));
    written
        .await
        .unwrap_or_else(|error| Err(Failure::new(Exit::Files, error.to_string())))
}

fn verdict(status: StatusCode) -> Result<(), Failure> {
    let message = format!("the API answered {status}");
    // No refusal of this request: later it may be answered.
    if [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
        return Err(Failure::new(
            Exit::Unavailable,
            message + ": try again later",
        ));
    }
    if status.is_client_error() {
        let hint = match status.as_u16() {
            401 => ": it takes no token of these settings; `bloom-auth doctor` says more",
            403 => ": the token lacks a scope, or the client the right",
            _ => "",
        };
        return Err(Failure::new(Exit::Api, message + hint));
    }
    if status.is_server_error() {
        return Err(Failure::new(Exit::Unavailable, message));
    }
    Ok(())
}

fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("HTTP {status}\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.push(b'\n');
    }
    head.push(b'\n');
    head
}

fn method(text: &str) -> Result<Method, Failure> {
    let upper = text.to_ascii_uppercase();
    let is_known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    if !is_known.contains(&upper.as_str()) {
        return Err(Failure::settings(format!(
            "there is no method `{text}`: use {}",
            is_known.join(", ")
        )));
    }
    Method::from_bytes(upper.as_bytes())
        .map_err(|_| Failure::settings(format!("there is no method `{text}`")))
}

fn is_url(path: &str) -> bool {
    let scheme = path.split(['/', '?', '#']).next().unwrap_or_default();
    scheme.ends_with(':') && scheme.len() > 1 || path.starts_with("//")
}

fn headers(lines: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for line in lines {
        // Not what it is: it may be a secret.
        let wrong = || Failure::settings("--header is not of the form `NAME: VALUE`");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        if name == header::AUTHORIZATION {
            return Err(Failure::settings(
                "--header sets Authorization, which is what the token is sent in: leave it out",
            ));
        }
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        // It may be a key: a redirect to another origin does not take it along.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn body(data: &str) -> Result<Vec<u8>, Failure> {
    let Some(place) = data.strip_prefix('@') else {
        return Ok(data.as_bytes().to_vec());
    };
    let mut bytes = Vec::new();
    let read = if place == "-" {
        io::stdin()
            .lock()
            .take(MAX_BODY_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        fs::File::open(place).and_then(|file| file.take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::new(
            Exit::Files,
            format!("the body {data} cannot be read: {error}"),
        )
    })?;
    if bytes.len() as u64 > MAX_BODY_BYTES {
        return Err(Failure::new(
            Exit::Files,
            format!("the body {data} is larger than 256 MiB"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_a_status_says_whether_to_try_again() {
        for (status, exit) in [
            (400, Some(Exit::Api)),
            (401, Some(Exit::Api)),
            (404, Some(Exit::Api)),
            (408, Some(Exit::Unavailable)),
            (429, Some(Exit::Unavailable)),
            (500, Some(Exit::Unavailable)),
            (200, None),
            (304, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let found = verdict(status).err().map(|failure| failure.exit);
            assert_eq!(found, exit, "{status}");
        }
    }

    #[test]
    fn whole_urls_are_told_from_paths() {
        for (path, expected) in [
            ("https://x/", true),
            ("HTTPS://x", true),
            ("//x/y", true),
            ("mailto:x", false),
            ("/v2/core/organization", false),
            ("v2/core/organization?next=https://x/", false),
            ("/a:/b", false),
        ] {
            assert_eq!(is_url(path), expected, "{path}");
        }
    }

    #[test]
    fn wrong_headers_and_methods_are_refused() {
        for line in [
            "canary",
            "a b: canary",
            "x: can\nary",
            "Authorization: canary",
        ] {
            let failure = headers(&[line.to_owned()]).unwrap_err();
            assert_eq!(failure.exit, Exit::Settings);
            assert!(!failure.message.contains("ary"), "{failure}");
        }
        let two = headers(&["X-A: 1".to_owned(), "x-a:2".to_owned()]).unwrap();
        assert_eq!(two.get_all("x-a").iter().count(), 2);
        assert!(two.values().all(HeaderValue::is_sensitive));
        assert!(method("get").is_ok());
        assert!(method("CONNECT").is_err());
    }
}
