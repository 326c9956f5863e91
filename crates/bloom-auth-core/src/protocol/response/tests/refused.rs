//! Answers that are no token response, and what is said of them.

use http::header::LOCATION;

use super::{super::*, answer, missing, not_json, ok, with};
use crate::{protocol::OAuthErrorCode, transport::MAX_BODY_BYTES};

#[test]
fn p1_p30_p33_what_is_no_json_object_is_named_and_not_shown() {
    let token = r#"{"access_token":"canary-a","token_type":"bearer"}"#;
    let mut bodies = vec![
        "<html>canary</html>".to_owned(),
        "access_token=canary&token_type=bearer&expires_in=3600".to_owned(),
        format!("{token}{token}"),
        format!("{token} canary"),
        format!("{token}\0"),
        format!("[{token}]"),
        " ".to_owned(),
        "\u{feff}".to_owned(),
    ];
    bodies.extend(["null", "true", "1", r#""canary""#, "{,}", "{'a':1}", "NaN"].map(str::to_owned));
    bodies.extend((1..token.len()).map(|end| token[..end].to_owned()));
    for body in bodies {
        assert_eq!(
            ok(body.clone()).unwrap_err(),
            not_json(body.len()),
            "{body}"
        );
    }
    let long = "x".repeat(65);
    for (given, told) in [
        ("text/html; charset=utf-8", "text/html"),
        ("application/vnd.x+json", "application/vnd.x+json"),
        ("", "unknown type"),
        ("canary <b>", "unknown type"),
        (long.as_str(), "unknown type"),
    ] {
        let error = answer(200, &[(CONTENT_TYPE, given)], "<html>canary").unwrap_err();
        let expected = format!("the body (12 bytes of {told}) is not a JSON object");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn p2_p3_without_a_body_there_is_no_token() {
    assert_eq!(ok("").unwrap_err(), ResponseError::Empty);
    for status in [204, 201, 202, 206, 101, 299, 400, 404, 500, 999] {
        let expected = ResponseError::Status {
            status: StatusCode::from_u16(status).unwrap(),
        };
        assert_eq!(answer(status, &[], "").unwrap_err(), expected);
        // Nor with a token in it.
        let body = r#"{"access_token":"canary-a","token_type":"bearer"}"#;
        assert_eq!(answer(status, &[], body).unwrap_err(), expected);
        assert_eq!(answer(status, &[], "<html>canary").unwrap_err(), expected);
    }
}

#[test]
fn p4_p5_a_redirect_is_one_whatever_it_holds() {
    for code in [300, 301, 302, 303, 304, 307, 308] {
        let status = StatusCode::from_u16(code).unwrap();
        for body in ["", "<html>canary", r#"{"error":"invalid_client"}"#] {
            let location = (LOCATION, "https://canary.test/?canary");
            let error = answer(code, &[location], body).unwrap_err();
            assert_eq!(error, ResponseError::Redirect { status });
        }
    }
}

#[test]
fn p9_an_error_is_an_error_whatever_its_status() {
    for status in [200, 400, 401, 403, 429, 500, 503] {
        let body = r#"{"access_token":"canary-a","token_type":"bearer","error":"invalid_client"}"#;
        let ResponseError::Refused(error) = answer(status, &[], body).unwrap_err() else {
            panic!("{status}");
        };
        assert_eq!(*error.code(), OAuthErrorCode::InvalidClient);
        assert_eq!(error.status(), status);
    }
    // Frameworks put other things there; with 200 it is no token response.
    for json in ["1", "{}", "false"] {
        assert_eq!(
            with(&format!(r#","error":{json}"#)).unwrap_err(),
            missing("error")
        );
        let status = StatusCode::BAD_REQUEST;
        let error = answer(400, &[], format!(r#"{{"error":{json}}}"#)).unwrap_err();
        assert_eq!(error, ResponseError::Status { status });
    }
}

#[test]
fn n20_size_and_encoding_are_looked_at_first() {
    for encoding in ["gzip", "br", "zstd", "identity, gzip", ""] {
        let error = answer(200, &[(CONTENT_ENCODING, encoding)], "\x1f\u{8b}canary").unwrap_err();
        assert_eq!(error, ResponseError::Encoded, "{encoding}");
    }
    let two = [(CONTENT_ENCODING, "identity"), (CONTENT_ENCODING, "gzip")];
    assert_eq!(answer(200, &two, "").unwrap_err(), ResponseError::Encoded);

    let mut body = br#"{"access_token":"canary-a","token_type":"bearer"}"#.to_vec();
    body.resize(MAX_BODY_BYTES, b' ');
    assert!(ok(body.clone()).is_ok());
    body.push(b' ');
    let error = ResponseError::TooLarge {
        limit: MAX_BODY_BYTES,
    };
    assert_eq!(ok(body.clone()).unwrap_err(), error);
    assert_eq!(answer(503, &[], body).unwrap_err(), error);
}

#[test]
fn n15_a_body_of_two_lengths_holds_no_token() {
    let body = r#"{"access_token":"canary-a","token_type":"bearer"}"#;
    let length = |value| (CONTENT_LENGTH, value);
    for headers in [
        vec![length("49"), (TRANSFER_ENCODING, "chunked")],
        vec![(TRANSFER_ENCODING, "identity"), length("49")],
        vec![length("49"), length("2")],
        vec![length("49"), length("49"), length("049")],
    ] {
        let error = answer(200, &headers, body).unwrap_err();
        assert_eq!(error, ResponseError::TwoLengths, "{headers:?}");
        // What is no token anyway is what its status says.
        let error = answer(503, &headers, "canary").unwrap_err();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(error, ResponseError::Status { status }, "{headers:?}");
    }
    for headers in [
        vec![length("49")],
        vec![length("49"), length("49")],
        vec![(TRANSFER_ENCODING, "chunked")],
    ] {
        assert!(answer(200, &headers, body).is_ok(), "{headers:?}");
    }
}

#[test]
fn p42_no_error_says_what_the_body_says() {
    let body = concat!(
        r#"{"error":"canary-secret","error_description":"canary-secret","#,
        r#""error_hint":"Basic canary-secret"}"#
    );
    let error = answer(401, &[], body).unwrap_err();
    assert_eq!(
        error.to_string(),
        "status 401, `[redacted]` ([redacted]) ([redacted])"
    );
}
