//! How a token request proves which client sends it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

use crate::{
    assertion::{self, Arrival, AssertionFault},
    credentials::{Client, Presented},
    form::{self, Form},
    refusal::Refusal,
};

/// RFC 6749, section 2.3.1; no more than one method may be used (2.3).
///
/// Next to a header, the body may repeat the client id but not the secret.
pub(crate) fn authenticate(
    headers: &HeaderMap,
    form: &Form,
    client: &Client,
    arrival: Arrival<'_>,
) -> Result<(), Refusal> {
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    if let Some(assertion) = form.get("client_assertion") {
        if secret.is_some() || authorizations.next().is_some() {
            return Err(Refusal::SeveralAuthentications);
        }
        return by_assertion(form, assertion, client, arrival);
    }
    // A client with a key has no other way.
    if client.assertions().has_key() {
        let header = authorizations.next().is_some();
        return Err(if header || secret.is_some() {
            Refusal::Client { header }
        } else {
            Refusal::ClientMissing
        });
    }
    let Some(authorization) = authorizations.next() else {
        let (Some(id), Some(secret)) = (id, secret) else {
            return Err(Refusal::ClientMissing);
        };
        let presented = Presented {
            id: id.to_owned(),
            secret: secret.to_owned(),
        };
        return if client.accepts(&[presented]) {
            Ok(())
        } else {
            Err(Refusal::Client { header: false })
        };
    };
    if secret.is_some() || authorizations.next().is_some() {
        return Err(Refusal::SeveralAuthentications);
    }
    let readings = basic(authorization.as_bytes());
    if let Some(id) = id
        && !readings.is_empty()
        && !readings.iter().any(|reading| reading.id == id)
    {
        return Err(Refusal::SeveralAuthentications);
    }
    if client.accepts(&readings) {
        Ok(())
    } else {
        Err(Refusal::Client { header: true })
    }
}

/// RFC 7523, sections 2.2 and 3. The client id may be repeated beside the
/// assertion (RFC 7521, section 4.2).
fn by_assertion(
    form: &Form,
    assertion: &str,
    client: &Client,
    arrival: Arrival<'_>,
) -> Result<(), Refusal> {
    if form.get("client_assertion_type") != Some(assertion::TYPE) {
        return Err(Refusal::Assertion(AssertionFault::Type));
    }
    if form.get("client_id").is_some_and(|id| id != client.id()) {
        return Err(Refusal::Assertion(AssertionFault::Client));
    }
    let taken = client.assertions().take(assertion, client.id(), arrival);
    taken.map_err(Refusal::Assertion)
}

/// The readings of an `Authorization: Basic` header; none if it is not one.
///
/// RFC 6749 has both halves form-encoded before they are joined; many clients
/// and servers leave that out (RFC 7617 knows nothing of it). Real servers
/// differ, so both readings are tried.
fn basic(header: &[u8]) -> Vec<Presented> {
    fn joined(header: &[u8]) -> Option<Vec<u8>> {
        let (scheme, rest) = header.split_at_checked("Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        STANDARD.decode(rest.trim_ascii_start()).ok()
    }
    let Some(joined) = joined(header) else {
        return Vec::new();
    };
    let mut halves = joined.splitn(2, |byte| *byte == b':');
    let (Some(id), Some(secret)) = (halves.next(), halves.next()) else {
        return Vec::new();
    };
    let raw = |half: &[u8]| String::from_utf8(half.to_vec()).ok();
    let encoded = |half: &[u8]| form::decode(half).ok();
    [encoded(id).zip(encoded(secret)), raw(id).zip(raw(secret))]
        .into_iter()
        .flatten()
        .map(|(id, secret)| Presented { id, secret })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::assertion::{
        PublicKey,
        tests::{NOW, TestKey, URL},
    };

    fn basic_header(joined: &str) -> String {
        format!("Basic {}", STANDARD.encode(joined))
    }

    fn check(authorizations: &[&str], body: &str, expected: &Result<(), Refusal>) {
        let client = Client::new("id".into(), "se+cret".into());
        check_client(&client, authorizations, body, expected);
    }

    fn check_client(
        client: &Client,
        authorizations: &[&str],
        body: &str,
        expected: &Result<(), Refusal>,
    ) {
        let mut headers = HeaderMap::new();
        for value in authorizations {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let form = Form::parse(body.as_bytes()).unwrap();
        let arrival = Arrival {
            url: URL,
            unix_millis: NOW * 1000,
        };
        let result = authenticate(&headers, &form, client, arrival);
        assert_eq!(result, *expected, "{authorizations:?} {body}");
    }

    #[test]
    fn s11_client_authentication_in_the_body() {
        let refused = Refusal::Client { header: false };
        for (client, expected) in [
            ("client_id=id&client_secret=se%2Bcret", Ok(())),
            ("client_id=id&client_secret=se+cret", Err(refused.clone())),
            ("client_id=id&client_secret=se%2BcreT", Err(refused.clone())),
            ("client_id=other&client_secret=se%2Bcret", Err(refused)),
            ("client_id=id", Err(Refusal::ClientMissing)),
            ("client_id=id&client_secret=", Err(Refusal::ClientMissing)),
            ("client_secret=se%2Bcret", Err(Refusal::ClientMissing)),
            (
                "client_id=&client_secret=se%2Bcret",
                Err(Refusal::ClientMissing),
            ),
            ("", Err(Refusal::ClientMissing)),
        ] {
            check(&[], client, &expected);
        }
    }

    #[test]
    fn s11_client_authentication_in_the_header() {
        let encoded = basic_header("id:se%2Bcret");
        let raw = basic_header("id:se+cret");
        let refused = Refusal::Client { header: true };
        for (header, expected) in [
            (encoded.clone(), Ok(())),
            (raw.clone(), Ok(())),
            (raw.replace("Basic ", "bAsIc   "), Ok(())),
            (basic_header("id:wrong"), Err(refused.clone())),
            (basic_header("other:se+cret"), Err(refused.clone())),
            (basic_header("id"), Err(refused.clone())),
            (basic_header(""), Err(refused.clone())),
            (basic_header(":"), Err(refused.clone())),
            ("Basic".to_owned(), Err(refused.clone())),
            ("Basic !!!".to_owned(), Err(refused.clone())),
            ("Basic /w==".to_owned(), Err(refused.clone())),
            (raw.replace("Basic ", "Bearer "), Err(refused.clone())),
            (raw.replace("Basic ", ""), Err(refused.clone())),
            (raw.replace("Basic ", "Basic"), Err(refused)),
        ] {
            check(&[&header], "", &expected);
        }
        let several = Err(Refusal::SeveralAuthentications);
        for (authorizations, body, expected) in [
            (vec![raw.as_str()], "client_id=id", &Ok(())),
            (vec![raw.as_str()], "client_id=", &Ok(())),
            (vec![raw.as_str()], "client_id=other", &several),
            (vec![raw.as_str()], "client_secret=se%2Bcret", &several),
            (vec![raw.as_str()], "client_id=id&client_secret=x", &several),
            (
                vec!["Bearer x"],
                "client_id=id&client_secret=se%2Bcret",
                &several,
            ),
            (vec![raw.as_str(), raw.as_str()], "", &several),
            (vec![encoded.as_str(), raw.as_str()], "", &several),
        ] {
            check(&authorizations, body, expected);
        }
    }

    #[test]
    fn a_client_with_a_key_has_no_other_way() {
        let key = TestKey::ed25519();
        let public = PublicKey::from_pem(&key.public_pem()).unwrap();
        let with_key = Client::new("id".into(), "se+cret".into()).with_key(Some(public));
        let without = Client::new("id".into(), "se+cret".into());
        let proof = |jti: &str| {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let assertion = key.assertion(jti);
            format!("client_assertion_type={kind}&client_assertion={assertion}")
        };
        let fault = |fault| Err(Refusal::Assertion(fault));
        let several = Err(Refusal::SeveralAuthentications);
        let basic = basic_header("id:se+cret");
        let post = "client_id=id&client_secret=se%2Bcret";
        for (client, authorizations, body, expected) in [
            (&with_key, vec![], proof("1"), Ok(())),
            (
                &with_key,
                vec![],
                format!("client_id=id&{}", proof("2")),
                Ok(()),
            ),
            (
                &with_key,
                vec![],
                proof("2"),
                fault(AssertionFault::Replayed),
            ),
            (
                &with_key,
                vec![],
                format!("client_id=other&{}", proof("3")),
                fault(AssertionFault::Client),
            ),
            (
                &with_key,
                vec![],
                proof("3").replace("jwt-bearer", "saml2-bearer"),
                fault(AssertionFault::Type),
            ),
            (
                &with_key,
                vec![],
                format!("client_assertion={}", key.assertion("3")),
                fault(AssertionFault::Type),
            ),
            (
                &with_key,
                vec![],
                format!("{post}&{}", proof("3")),
                several.clone(),
            ),
            (&with_key, vec![basic.as_str()], proof("3"), several),
            (
                &with_key,
                vec![],
                post.to_owned(),
                Err(Refusal::Client { header: false }),
            ),
            (
                &with_key,
                vec![basic.as_str()],
                String::new(),
                Err(Refusal::Client { header: true }),
            ),
            (
                &with_key,
                vec![],
                "client_id=id".to_owned(),
                Err(Refusal::ClientMissing),
            ),
            // None of the refusals has used it up.
            (&with_key, vec![], proof("3"), Ok(())),
            (&without, vec![], proof("4"), fault(AssertionFault::NoKey)),
        ] {
            check_client(client, &authorizations, &body, &expected);
        }
    }

    #[test]
    fn s11_basic_credentials_with_every_awkward_character() {
        let (id, secret) = ("a+b%20:é c", "+ %zz:é%2B");
        // By RFC 6749 both halves are form-encoded, so even `:` in the id works.
        let encoded = basic_header("a%2Bb%2520%3A%C3%A9+c:%2B+%25zz%3A%C3%A9%252B");
        let client = Client::new(id.into(), secret.into());
        assert!(client.accepts(&basic(encoded.as_bytes())));
        // Raw, the id ends at the first colon.
        let client = Client::new("a+b%20é c".into(), secret.into());
        let raw = basic_header(&format!("a+b%20é c:{secret}"));
        assert!(client.accepts(&basic(raw.as_bytes())));
        let raw = basic_header(&format!("{id}:{secret}"));
        assert!(!client.accepts(&basic(raw.as_bytes())));
    }
}
