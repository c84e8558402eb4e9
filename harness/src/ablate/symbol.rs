//! What a compiler calls a function, and what a person does.

/// A function without a name.
pub(super) const CLOSURE: &str = "{closure}";

/// A function's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// The crate that it is from, if its name says so.
    pub(super) krate: String,
    /// Its last part; `{closure}` if there is none, as for closures and async functions in release
    /// builds.
    pub(super) name: String,
}

impl Symbol {
    /// Takes a demangled name apart: `<store::Log as store::Sync>::sync::{{closure}}` is `sync` of `store`.
    pub(super) fn parse(demangled: &str) -> Self {
        let (head, tail) = match demangled.strip_prefix('<').and_then(split_at_close) {
            Some((inside, tail)) => (implementor(inside), tail),
            None => ("", demangled),
        };
        let head = head.trim_start_matches(['&', '*']);
        let head = ["mut ", "const ", "dyn "]
            .iter()
            .fold(head, |head, word| head.trim_start_matches(word));
        let path = format!("{}::{}", without_parameters(head), without_parameters(tail));
        let parts: Vec<&str> = path
            .split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty() && !part.starts_with('{'))
            .collect();
        let krate = parts.first().filter(|_| parts.len() > 1);
        Self {
            krate: krate.copied().unwrap_or_default().to_owned(),
            name: parts.last().copied().unwrap_or(CLOSURE).to_owned(),
        }
    }
}

/// Splits behind an angle bracket that was opened before.
fn split_at_close(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    let mut before = ' ';
    for (index, char) in text.char_indices() {
        match char {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..index], &text[index + 1..]));
        }
        before = char;
    }
    None
}

/// The type of `Type as Trait`.
fn implementor(text: &str) -> &str {
    let mut depth = 0;
    let mut before = ' ';
    for (index, char) in text.char_indices() {
        match char {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ if depth == 0 && text[index..].starts_with(" as ") => return &text[..index],
            _ => {}
        }
        before = char;
    }
    text
}

/// A path without anything in angle brackets.
fn without_parameters(path: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0_u32;
    let mut before = ' ';
    for char in path.chars() {
        match char {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(char),
            _ => {}
        }
        before = char;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::Symbol;

    #[test]
    fn a_name_is_the_last_part_without_parameters_and_closures() {
        let cases = [
            ("groupwal::directory::Directory::sync", "groupwal", "sync"),
            ("groupwal::recovery::begin", "groupwal", "begin"),
            (
                "<groupwal::directory::Directory>::prepare::{closure#0}",
                "groupwal",
                "prepare",
            ),
            (
                "<groupwal::group::Member<H,T,F> as core::future::future::Future>::poll",
                "groupwal",
                "poll",
            ),
            (
                "<&mut dyn store::seam::File as std::io::Write>::flush",
                "store",
                "flush",
            ),
            (
                "<alloc::boxed::Box<dyn core::ops::FnOnce() -> u8> as core::ops::FnOnce<()>>::call_once",
                "alloc",
                "call_once",
            ),
            (
                "core::ops::function::FnOnce::call_once{{vtable.shim}}",
                "core",
                "call_once{{vtable.shim}}",
            ),
            (
                "groupwal::wal::Wal::open_with::{{closure}}::{{closure}}",
                "groupwal",
                "open_with",
            ),
            ("store::sync::<u8>", "store", "sync"),
            ("sync_dir<&std::path::Path>", "", "sync_dir"),
            ("{async_fn#0}<store::wal::Wal>", "", "{closure}"),
            ("", "", "{closure}"),
            ("<<<", "", "{closure}"),
        ];
        for (demangled, krate, name) in cases {
            let expected = Symbol {
                krate: krate.to_owned(),
                name: name.to_owned(),
            };
            assert_eq!(Symbol::parse(demangled), expected, "{demangled}");
        }
    }
}
