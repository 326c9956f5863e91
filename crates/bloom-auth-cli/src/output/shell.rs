//! Values that a shell reads.

/// In single quotes, inside which nothing means anything but a single quote.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// A line to paste, or for `eval`.
pub(crate) fn export(name: &str, value: &str) -> String {
    format!("export {name}={}\n", quoted(value))
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn s4_a_shell_reads_back_any_value_and_runs_none_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let touched = directory.path().join("touched");
        let touch = format!("touch {}", touched.display());
        let values = [
            "plain".to_owned(),
            String::new(),
            "it's".to_owned(),
            "''".to_owned(),
            r"\'".to_owned(),
            "a b\tc\nd\\n".to_owned(),
            "$HOME ${HOME} *? ~ ! # & | ; < > ( ) { } [ ] \" %".to_owned(),
            format!("$({touch})"),
            format!("`{touch}`"),
            format!("'; {touch}; '"),
            format!("'\n{touch}\n'"),
            "\u{e9}\u{1f980}\u{7f}".to_owned(),
        ];
        for value in values {
            let line = export("VALUE", &value);
            let mut shell = Command::new("sh");
            let output = shell
                .args(["-c", "eval \"$LINE\" && printf %s \"$VALUE\""])
                .env("LINE", &line)
                .output()
                .unwrap();
            assert!(output.status.success(), "{line}");
            assert_eq!(output.stdout, value.as_bytes(), "{line}");
            assert!(!touched.exists(), "{line}");
        }
    }
}
