//! From the calls on the stack to a sync call site.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::site::{CodePlace, SyncKind, SyncSite};
use super::symbol::{CLOSURE, Symbol};

/// So many calls tell one site from another.
const CALLS_MAX: usize = 3;
/// What stands between a store's own functions, and is none of them.
const PLUMBING: [&str; 9] = [
    "alloc",
    "backtrace",
    "core",
    "futures-core",
    "futures-util",
    "std",
    "tokio",
    "tracing",
    "tracing-core",
];
/// Where a crate has its sources.
const SOURCES: [&str; 4] = ["src", "tests", "examples", "benches"];

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

/// The functions at an address, innermost first.
fn resolve(ip: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut(ip), |symbol| {
        let name = symbol.name().map(|name| format!("{name:#}"));
        calls.push(Call {
            symbol: Symbol::parse(&name.unwrap_or_default()),
            file: symbol.filename().map(Path::to_owned),
            line: symbol.lineno(),
        });
    });
    calls
}

impl Call {
    fn is_in(&self, file: &Path) -> bool {
        self.file.as_deref().is_some_and(|own| own.ends_with(file))
    }

    /// The crate's folder or, without debug information, its name.
    fn krate(&self) -> &OsStr {
        let folder = self.file.as_deref().and_then(|file| {
            let is_crate = |dir: &&Path| {
                let name = dir.file_name().and_then(OsStr::to_str);
                name.is_some_and(|name| SOURCES.contains(&name))
            };
            file.ancestors().find(is_crate)?.parent()
        });
        folder.map_or(OsStr::new(&self.symbol.krate), Path::as_os_str)
    }

    fn is_plumbing(&self) -> bool {
        let file = self.file.as_deref();
        let is_std = file.is_some_and(|file| {
            file.starts_with("/rustc/")
                || file
                    .to_string_lossy()
                    .contains("/rustlib/src/rust/library/")
        });
        // A folder in a registry bears the version, too.
        let folder = file.and_then(in_registry);
        let folder = folder
            .as_deref()
            .and_then(|inside| inside.iter().next()?.to_str());
        let named = folder.and_then(|folder| folder.rsplit_once('-'));
        let named = named.map_or(self.symbol.krate.as_str(), |(name, _)| name);
        is_std || PLUMBING.contains(&named)
    }

    /// `home` is where our own sources are.
    fn is_ours(&self, home: Option<&Path>) -> bool {
        let in_home = |home| {
            self.file
                .as_deref()
                .is_some_and(|file| file.starts_with(home))
        };
        self.symbol.krate == env!("CARGO_PKG_NAME") || home.is_some_and(in_home)
    }

    /// The function with its file's name.
    fn function(&self) -> String {
        let name = &self.symbol.name;
        let Some(file) = &self.file else {
            return format!("{}::{name}", self.symbol.krate);
        };
        let stem = file.file_stem().unwrap_or_default();
        let up = match stem.to_str() {
            Some("mod") => 1,
            Some("lib" | "main") => 2,
            _ => 0,
        };
        let owner = file.ancestors().nth(up).and_then(Path::file_stem);
        format!("{}::{name}", owner.unwrap_or(stem).display())
    }
}

/// The site that asks for a sync, from the calls on the stack. `adapter` is the file that calls the
/// simulated file system.
pub(super) fn site(kind: SyncKind, addresses: &[usize], adapter: &str) -> SyncSite {
    let calls: Vec<Call> = addresses.iter().flat_map(|ip| resolve(*ip)).collect();
    // The innermost of our own functions captured the stack: it stands in this file.
    let home = calls.iter().find(|call| call.is_in(Path::new(file!())));
    let home = home.and_then(|call| call.file.as_deref()?.parent()?.parent());
    let theirs = calls
        .iter()
        .filter(|call| !call.is_plumbing())
        .skip_while(|call| call.is_ours(home))
        .take_while(|call| !call.is_ours(home));
    let theirs: Vec<&Call> = theirs.collect();
    SyncSite::new(kind, places(&own(&theirs, Path::new(adapter))))
}

/// What is the store's own: without the adapter, and without the driver, whom we call. A store that is
/// its own adapter keeps what it has.
fn own<'c>(calls: &[&'c Call], adapter: &Path) -> Vec<&'c Call> {
    let Some(driver) = calls.last() else {
        return Vec::new();
    };
    let only = |of: &dyn Fn(&Call) -> bool| -> Vec<&'c Call> {
        calls.iter().copied().filter(|call| of(call)).collect()
    };
    let is_between = |call: &Call| !call.is_in(adapter) && call.file != driver.file;
    // Whatever else the driver's crate does on the way is not the store's doing.
    let is_foreign = |call: &Call| is_between(call) && call.krate() != driver.krate();
    let is_below = |call: &Call| call.symbol.name != driver.symbol.name;
    let choices = [
        only(&is_foreign),
        only(&is_between),
        only(&|call| call.is_in(adapter) && is_below(call)),
        only(&is_below),
    ];
    let chosen = choices.into_iter().find(|chosen| !chosen.is_empty());
    chosen.unwrap_or_else(|| calls.to_vec())
}

/// The nearest calls, one for each function. A closure that is called in its function is no other one.
fn places(calls: &[&Call]) -> Vec<CodePlace> {
    let root = workspace();
    let mut places: Vec<CodePlace> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let outer = calls.get(index + 1).filter(|outer| outer.file == call.file);
        let named = match outer {
            Some(outer) if call.symbol.name == CLOSURE => outer,
            _ => call,
        };
        let function = named.function();
        if places.last().is_none_or(|last| last.function != function) {
            places.push(CodePlace {
                file: call.file.as_deref().map(|file| relative(file, &root)),
                line: call.line,
                function,
            });
        }
    }
    places.truncate(CALLS_MAX);
    places
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
    let inside = file.strip_prefix(root).ok().map(Path::to_owned);
    let inside = inside.or_else(|| in_registry(file));
    inside.as_deref().unwrap_or(file).display().to_string()
}

/// The path of a source inside a registry, where a crate's folder is `<name>-<version>`.
fn in_registry(file: &Path) -> Option<PathBuf> {
    let mut parts = file.components();
    while let Some(part) = parts.next() {
        if part.as_os_str() == "registry" && parts.as_path().starts_with("src") {
            return Some(parts.skip(2).collect());
        }
    }
    None
}
