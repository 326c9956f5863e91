//! Files of secrets and certificates that are of no use: each is found at
//! once, and told by its name, its fault and the fix.

use std::path::Path;

use super::{Variables, text_of, wrong::error};

/// Writes files of every kind, those for secrets with a canary in them.
fn write_files(directory: &Path) {
    let certificate = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n");
    for (name, content) in [
        ("empty", String::new()),
        ("newline", "\n".to_owned()),
        ("two-newlines", "canary\n\n".to_owned()),
        ("two-lines", "canary\ncanary".to_owned()),
        ("long", "canary".repeat(1000)),
        ("large", "canary".repeat(11_000)),
        ("text", "canary".to_owned()),
        (
            "key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
        ),
        ("cut", certificate("AAAA")),
        ("garbage", certificate("AAAA\n-----END CERTIFICATE-----")),
    ] {
        std::fs::write(directory.join(name), content).unwrap();
    }
    std::fs::write(directory.join("binary"), b"canary\xff").unwrap();
    std::fs::create_dir(directory.join("directory")).unwrap();
}

/// What the system says of a file that is not there.
fn missing() -> String {
    std::fs::read("/nowhere/at/all").unwrap_err().to_string()
}

#[test]
fn k4_a_secret_file_is_named_with_its_fault_and_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path());
    let fix = "use the value that Bloom gave, without quotes or line breaks";
    let holds_none = |problem: &str| format!("holds no client secret (client secret {problem})");
    for (file, fault) in [
        ("missing", format!("cannot be read ({})", missing())),
        ("directory", "is not a regular file".to_owned()),
        ("empty", holds_none(&format!("is empty: {fix}"))),
        ("newline", holds_none(&format!("is empty: {fix}"))),
        (
            "two-newlines",
            holds_none(&format!("has a control character at byte 6: {fix}")),
        ),
        (
            "two-lines",
            holds_none(&format!("has a control character at byte 6: {fix}")),
        ),
        (
            "long",
            holds_none(&format!("is 6000 bytes long, more than 4096: {fix}")),
        ),
        ("large", "is too large to hold a client secret".to_owned()),
        (
            "binary",
            holds_none(
                "is not UTF-8 at byte 6: store the secret as the plain text that Bloom gave",
            ),
        ),
    ] {
        let path = directory.path().join(file);
        let variables = Variables::minimal();
        variables.unset("BLOOM_CLIENT_SECRET");
        variables.set("BLOOM_CLIENT_SECRET_FILE", text_of(&path));
        let expected = format!(
            "BLOOM_CLIENT_SECRET_FILE is of no use: the client secret file {} {fault}: \
             name a file that holds the client secret alone",
            path.display()
        );
        assert_eq!(error(&variables), expected);
    }
}

#[test]
fn k4_a_good_secret_file_does_not_make_up_for_a_wrong_client_id() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path());
    let variables = Variables::default();
    variables.set("BLOOM_CLIENT_SECRET_FILE", directory.path().join("text"));
    assert_eq!(
        error(&variables),
        "BLOOM_CLIENT_ID is not set: set BLOOM_CLIENT_ID, and BLOOM_CLIENT_SECRET or \
         BLOOM_CLIENT_SECRET_FILE, to the credentials that Bloom gave"
    );
    variables.set("BLOOM_CLIENT_ID", "the\tclient");
    assert_eq!(
        error(&variables),
        "BLOOM_CLIENT_ID has a control character at byte 3: use the value that Bloom gave, \
         without quotes or line breaks"
    );
    // The control: the file is good.
    variables.set("BLOOM_CLIENT_ID", "the client");
    assert!(variables.build().is_ok());
}

#[test]
fn a_ca_file_is_named_with_its_fault_and_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path());
    let file = "name a file of PEM certificates";
    let pem = "give certificates in PEM (`-----BEGIN CERTIFICATE-----`)";
    let none = format!(": root certificate is not there: no certificate was found: {pem}");
    for (name, fault) in [
        (
            "missing",
            format!(" cannot be read ({}): {file}", missing()),
        ),
        ("directory", format!(" is not a regular file: {file}")),
        ("empty", none.clone()),
        ("text", none.clone()),
        ("binary", none.clone()),
        ("key", none),
        (
            "cut",
            format!(": root certificate number 1 is not whole: {pem}"),
        ),
        (
            "garbage",
            format!(": root certificate number 1 cannot be trusted as a root: {pem}"),
        ),
    ] {
        let path = directory.path().join(name);
        let variables = Variables::minimal();
        variables.set("BLOOM_CA_FILE", text_of(&path));
        let expected = format!("BLOOM_CA_FILE {}{fault}", path.display());
        assert_eq!(error(&variables), expected);
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    // A FIFO without a writer, or a device without an end, would hold the
    // program up for ever.
    for name in [
        "BLOOM_CLIENT_SECRET_FILE",
        "BLOOM_CA_FILE",
        "BLOOM_CLIENT_CERTIFICATE_FILE",
    ] {
        let variables = Variables::minimal();
        if name == "BLOOM_CLIENT_SECRET_FILE" {
            variables.unset("BLOOM_CLIENT_SECRET");
        }
        variables.set(name, "/dev/null");
        let error = error(&variables);
        assert!(
            error.contains("/dev/null is not a regular file: "),
            "{error}"
        );
    }
}
