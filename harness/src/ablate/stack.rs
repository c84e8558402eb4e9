//! From the calls on the stack to a sync call site.

use std::path::{Path, PathBuf};

use super::site::{CodePlace, SyncKind, SyncSite};
use super::symbol::Symbol;

/// So many calls tell one site from another.
const CALLS_MAX: usize = 3;
/// What stands between a store's own functions, and is none of them.
const PLUMBING: [&str; 9] = [
    "alloc",
    "core",
    "std",
    "tokio",
    "futures_core",
    "futures_util",
    "tracing",
    "tracing_core",
    "backtrace",
];

/// The calls on this thread's stack, innermost first, by their addresses.
pub(super) fn capture() -> Vec<usize> {
    let mut addresses = Vec::with_capacity(128);
    backtrace::trace(|frame| {
        addresses.push(frame.ip().addr());
        true
    });
    addresses
}

/// One function on the stack. Inlined ones are there, too.
struct Call {
    symbol: Symbol,
    file: Option<PathBuf>,
    line: Option<u32>,
}

impl Call {
    fn is_plumbing(&self) -> bool {
        let file = self.file.as_deref().map(Path::to_string_lossy);
        let file = file.unwrap_or_default();
        PLUMBING.contains(&self.symbol.krate.as_str())
            || file.starts_with("/rustc/")
            || file.contains("/rustlib/src/rust/library/")
    }

    /// `home` is where our own sources are.
    fn is_ours(&self, home: Option<&Path>) -> bool {
        let file = self.file.as_deref();
        self.symbol.krate == env!("CARGO_PKG_NAME")
            || home.is_some_and(|home| file.is_some_and(|file| file.starts_with(home)))
    }
}

/// The site that asks for a sync, from the calls on the stack.
pub(super) fn site(kind: SyncKind, addresses: &[usize]) -> SyncSite {
    let calls: Vec<Call> = addresses.iter().flat_map(|ip| resolve(*ip)).collect();
    // The innermost of our own functions captured the stack: it stands in this folder.
    let home = calls
        .iter()
        .find(|call| call.symbol.krate == env!("CARGO_PKG_NAME"))
        .and_then(|call| call.file.as_deref()?.parent()?.parent());
    let not_ours = calls
        .iter()
        .filter(|call| !call.is_plumbing())
        .skip_while(|call| call.is_ours(home))
        .take_while(|call| !call.is_ours(home));
    let not_ours: Vec<&Call> = not_ours.collect();
    let root = workspace();
    let mut places: Vec<CodePlace> = Vec::new();
    for call in own(&not_ours) {
        let name = &call.symbol.name;
        // A closure in its function, or a function that calls itself.
        if places.last().is_none_or(|last| last.function != *name) {
            places.push(CodePlace {
                file: call.file.as_deref().map(|file| relative(file, &root)),
                line: call.line,
                function: name.clone(),
            });
        }
    }
    places.truncate(CALLS_MAX);
    if places.is_empty() {
        places.push(CodePlace {
            file: None,
            line: None,
            function: "(no function is known)".to_owned(),
        });
    }
    SyncSite::new(kind, places)
}

/// The functions at an address, innermost first.
fn resolve(ip: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut(ip), |symbol| {
        let name = symbol.name().map(|name| format!("{name:#}"));
        if std::env::var_os("DBG").is_some() {
            eprintln!(
                "DBG {:?} {:?} {:?}",
                name,
                symbol.filename(),
                symbol.lineno()
            );
        }
        calls.push(Call {
            symbol: Symbol::parse(&name.unwrap_or_default()),
            file: symbol.filename().map(Path::to_owned),
            line: symbol.lineno(),
        });
    });
    calls
}

/// What is the store's own: without the adapter, the file that calls the simulated file system, and
/// without the driver, whom we call. A store that is its own adapter keeps what it has.
fn own<'c>(calls: &[&'c Call]) -> Vec<&'c Call> {
    let (Some(adapter), Some(driver)) = (calls.first(), calls.last()) else {
        return Vec::new();
    };
    let between: Vec<&Call> = calls
        .iter()
        .copied()
        .filter(|call| call.file != adapter.file && call.file != driver.file)
        .collect();
    if !between.is_empty() {
        // Whatever else the driver's crate does on the way is not the store's doing.
        let is_foreign = |call: &&Call| call.symbol.krate != driver.symbol.krate;
        let foreign: Vec<&Call> = between.iter().copied().filter(is_foreign).collect();
        return if foreign.is_empty() { between } else { foreign };
    }
    let of_adapter = |call: &&Call| call.file == adapter.file;
    let of_adapter: Vec<&Call> = calls.iter().copied().filter(of_adapter).collect();
    let is_driver = |call: &&Call| call.symbol.name == driver.symbol.name;
    let below: Vec<&Call> = of_adapter
        .iter()
        .copied()
        .filter(|call| !is_driver(call))
        .collect();
    if below.is_empty() { of_adapter } else { below }
}

/// The topmost folder above the working directory that has a manifest.
fn workspace() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let tops = here
        .ancestors()
        .filter(|dir| dir.join("Cargo.toml").is_file());
    tops.last().unwrap_or(&here).to_owned()
}

/// A path that reads the same on another machine, where that is possible.
fn relative(file: &Path, root: &Path) -> String {
    if let Ok(inside) = file.strip_prefix(root) {
        return inside.display().to_string();
    }
    // A registry's sources lie below `registry/src/<registry>`.
    let mut parts = file.components();
    while let Some(part) = parts.next() {
        let in_registry = part.as_os_str() == "registry" && parts.as_path().starts_with("src");
        if in_registry {
            return parts
                .as_path()
                .components()
                .skip(2)
                .collect::<PathBuf>()
                .display()
                .to_string();
        }
    }
    file.display().to_string()
}
