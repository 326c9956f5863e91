//! What the rules look at: the repository's files and the workspace's members, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use anyhow::Context as _;
use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{DependencyKind, Package};

use crate::sys;

/// All paths start at the root of the repository and have `/` between their parts.
pub(crate) struct Snapshot {
    /// What git tracks.
    pub(super) tracked: BTreeSet<String>,
    /// The same, with new files that it does not ignore, and without deleted ones.
    pub(super) files: BTreeSet<String>,
    /// The contents of source, configuration and prose.
    pub(super) texts: BTreeMap<String, String>,
    pub(super) members: Vec<Member>,
}

/// A crate of the workspace.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub(super) name: String,
    /// The path of its `Cargo.toml`.
    pub(super) manifest: String,
    pub(super) description: Option<String>,
    /// The paths of its `lib.rs` and `main.rs`.
    pub(super) roots: Vec<String>,
    pub(super) edges: Vec<Edge>,
}

/// A dependency on a crate that is on this disk.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) to: String,
    /// Used by tests, examples and benches only.
    pub(super) dev: bool,
}

const TEXT: &[&str] = &["rs", "toml", "md", "yml", "yaml", "json"];

impl Snapshot {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let tracked = git_files(&["--cached"])?;
        let mut files = git_files(&["--cached", "--others", "--exclude-standard"])?;
        files.retain(|path| sys::root().join(path).exists());

        let links = links()?;
        let mut texts = BTreeMap::new();
        for path in &files {
            if extension(path).is_none_or(|extension| !TEXT.contains(&extension)) {
                continue;
            }
            // Another name of a text that is read already.
            if links.contains(path) {
                continue;
            }
            match std::fs::read_to_string(sys::root().join(path)) {
                Ok(text) => {
                    texts.insert(path.clone(), text);
                }
                // Somebody may delete files while we look.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
            }
        }

        let workspace = sys::workspace()?;
        let root = &workspace.workspace_root;
        let packages = workspace.workspace_packages();
        let members = packages
            .into_iter()
            .map(|package| member(package, root))
            .collect();
        Ok(Self {
            tracked,
            files,
            texts,
            members,
        })
    }
}

/// What follows the last dot of a path.
pub(super) fn extension(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(_, extension)| extension)
}

/// The symbolic links that git tracks. Where there are none, as on Windows, each is checked out as
/// a file that holds where it leads.
fn links() -> anyhow::Result<BTreeSet<String>> {
    let files = git_files(&["--stage"])?;
    // A mode, a hash and a number, a tab, the path.
    let link = |line: String| {
        let (head, path) = line.split_once('\t')?;
        head.starts_with("120000 ").then(|| path.to_owned())
    };
    Ok(files.into_iter().filter_map(link).collect())
}

fn git_files(which: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut git = sys::command("git");
    // In a container the clone may belong to somebody else, which git refuses.
    git.args(["-c", "safe.directory=*", "ls-files", "-z"]);
    git.args(which);
    let files = sys::output(&mut git)?;
    let files = files.split('\0').filter(|path| !path.is_empty());
    Ok(files.map(str::to_owned).collect())
}

fn member(package: &Package, root: &Utf8Path) -> Member {
    let relative = |path: &Utf8Path| {
        let path = path.strip_prefix(root).unwrap_or(path);
        path.as_str().replace('\\', "/")
    };
    let roots = package
        .targets
        .iter()
        .filter(|target| target.is_lib() || target.is_bin());
    let ours = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some());
    Member {
        name: package.name.to_string(),
        manifest: relative(&package.manifest_path),
        description: package.description.clone(),
        roots: roots.map(|target| relative(&target.src_path)).collect(),
        edges: ours
            .map(|dependency| Edge {
                to: dependency.name.clone(),
                dev: dependency.kind == DependencyKind::Development,
            })
            .collect(),
    }
}
