//! What users get: each crate that we publish is packaged, and what is in the packages is compiled.
//!
//! `cargo package` would compile them itself, but only their libraries, all anew at each run, and
//! with the packages of an earlier run as dependencies if their version is the same: it unpacks
//! them once. So here the packages are a workspace of their own, which shares our target
//! directory. There, a file outside of its crate's folder is missing, for tests and examples too.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use cargo_metadata::Package;

use crate::sys;

/// What the registry shows, and what the licences ask for.
const FILES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Packages the published crates and compiles what is in the packages; says what is wrong.
pub(crate) fn check(features: &[String]) -> anyhow::Result<Vec<String>> {
    let metadata = sys::workspace()?;
    let published = published(metadata.workspace_packages());
    let target = metadata.target_directory.as_std_path();

    let mut package = sys::cargo();
    // What is not committed is to be checked too.
    package.args([
        "package",
        "--no-verify",
        "--allow-dirty",
        "--locked",
        "--quiet",
    ]);
    for it in &published {
        package.args(["--package", it.name.as_str()]);
    }
    sys::output(&mut package)?;

    let workspace = target.join("unpacked");
    // What an earlier run left would not be missed.
    if workspace.exists() {
        std::fs::remove_dir_all(&workspace).context("cannot remove the packages of before")?;
    }
    std::fs::create_dir_all(&workspace).context("cannot make a folder for packages")?;
    let mut problems = Vec::new();
    for it in &published {
        let folder = folder(it);
        // Some take what is before a colon for the name of another machine. Times are those of
        // unpacking: archives have one and the same for all, and cargo would see no change.
        let archive = Path::new("../package").join(format!("{folder}.crate"));
        let mut tar = sys::command("tar");
        tar.current_dir(&workspace).arg("-xmzf").arg(archive);
        sys::output(&mut tar)?;
        problems.extend(missing(&folder, &workspace.join(&folder)));
    }
    std::fs::write(workspace.join("Cargo.toml"), manifest(&published))
        .context("cannot write a manifest")?;
    // The versions that we test with.
    std::fs::copy(sys::root().join("Cargo.lock"), workspace.join("Cargo.lock"))
        .context("cannot copy the lock file")?;

    let mut check = sys::cargo();
    check
        .current_dir(&workspace)
        .env("CARGO_TARGET_DIR", target);
    check
        .args(["check", "--workspace", "--all-targets"])
        .args(features);
    let status = check.status().context("cannot start cargo")?;
    if !status.success() {
        problems.push(format!(
            "what is in the packages does not compile: {status}"
        ));
    }
    Ok(problems)
}

/// The crates that are meant for users.
pub(crate) fn published(packages: Vec<&Package>) -> Vec<&Package> {
    let is_published = |it: &&Package| !it.publish.as_ref().is_some_and(Vec::is_empty);
    packages.into_iter().filter(is_published).collect()
}

/// The name of a package's archive and of the folder in it.
fn folder(package: &Package) -> String {
    format!("{}-{}", package.name, package.version)
}

fn missing(name: &str, folder: &Path) -> Vec<String> {
    let is_missing = |file: &&&str| !folder.join(file).is_file();
    let missing = FILES.iter().filter(is_missing);
    missing.map(|file| format!("{name} lacks {file}")).collect()
}

/// A workspace of the unpacked packages, which find each other there instead of in the registry.
fn manifest(packages: &[&Package]) -> String {
    let mut members = String::new();
    let mut patches = String::new();
    for it in packages {
        let folder = folder(it);
        let _ = writeln!(members, "    \"{folder}\",");
        let is_it = |dependency: &cargo_metadata::Dependency| dependency.name == it.name.as_str();
        if packages.iter().any(|by| by.dependencies.iter().any(is_it)) {
            let _ = writeln!(patches, "{} = {{ path = \"{folder}\" }}", it.name);
        }
    }
    // With our profile, dependencies need not be compiled again.
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{members}]\n\n\
         [patch.crates-io]\n{patches}\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_are_used_by_others_are_found_among_the_packages() {
        let metadata = sys::workspace().unwrap();
        let published = published(metadata.workspace_packages());
        let text = manifest(&published);
        assert!(text.contains("    \"bloom-auth-core-"), "{text}");
        assert!(
            text.contains("\nbloom-auth-core = { path = \"bloom-auth-core-"),
            "{text}"
        );
        // Nobody uses the tool, and cargo warns of needless patches.
        assert!(
            text.contains("    \"bloom-auth-cli-0") && !text.contains("\nbloom-auth-cli = "),
            "{text}"
        );
        // A tool of ours is no package.
        assert!(!text.contains("xtask"), "{text}");
    }

    #[test]
    fn a_package_without_its_licences_is_caught() {
        assert_eq!(missing("a-1.0.0", sys::root()), Vec::<String>::new());
        let lacking = missing("a-1.0.0", &sys::root().join("xtask"));
        assert_eq!(
            lacking,
            [
                "a-1.0.0 lacks LICENSE-APACHE",
                "a-1.0.0 lacks LICENSE-MIT",
                "a-1.0.0 lacks README.md"
            ]
        );
    }
}
