//! `cache`: where it is, what it holds, and away with it.

use crate::support::{User, json};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_listed_and_cleared() {
    let user = User::new().await;
    let path = user.run(["cache", "path"]).ok();
    assert_eq!(path, format!("{}\n", user.cache().display()));
    assert_eq!(user.run(["cache", "list"]).ok(), "");
    assert!(!user.cache().exists());
    user.run(["token"]).ok();
    let text = user.run(["cache", "list"]).ok();
    assert!(
        text.lines().count() == 1 && text.contains("token"),
        "{text}"
    );
    let object = json(&user.run(["cache", "list", "--json"]).ok());
    assert_eq!(object["entries"][0]["kind"], "token");
    let cleared = user.run(["cache", "clear"]).ok();
    assert_eq!(
        cleared,
        format!("removed 1 from {}\n", user.cache().display())
    );
    assert_eq!(user.run(["cache", "list"]).ok(), "");
    user.run(["token"]).ok();
    assert_eq!(user.token_requests(), 2);
    assert_eq!(user.emulator.counts().connections, 2);
}
