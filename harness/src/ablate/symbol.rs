//! What a compiler calls a function, and what a person does.

/// A function's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// The crate that it is from, if its name says so.
    pub(super) krate: String,
    /// Its last two parts: `Directory::sync`.
    pub(super) name: String,
}

impl Symbol {
    /// Takes a demangled name apart: `<store::Log as store::Sync>::sync::{{closure}}` is `Log::sync` of
    /// `store`.
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
        let nearest = parts.len().saturating_sub(2);
        Self {
            krate: parts.first().copied().unwrap_or_default().to_owned(),
            name: parts[nearest..].join("::"),
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
    fn a_name_is_its_last_two_parts_without_parameters_and_closures() {
        let cases = [
            (
                "groupwal::directory::Directory::sync",
                "groupwal",
                "Directory::sync",
            ),
            ("groupwal::recovery::begin", "groupwal", "recovery::begin"),
            (
                "<groupwal::directory::Directory>::prepare::{closure#0}",
                "groupwal",
                "Directory::prepare",
            ),
            (
                "<groupwal::group::Member<H,T,F> as core::future::future::Future>::poll",
                "groupwal",
                "Member::poll",
            ),
            (
                "<&mut dyn store::seam::File as std::io::Write>::flush",
                "store",
                "File::flush",
            ),
            (
                "<alloc::boxed::Box<dyn core::ops::FnOnce() -> u8> as core::ops::FnOnce<()>>::call_once",
                "alloc",
                "Box::call_once",
            ),
            (
                "core::ops::function::FnOnce::call_once{{vtable.shim}}",
                "core",
                "FnOnce::call_once{{vtable.shim}}",
            ),
            (
                "groupwal::wal::Wal::open_with::{{closure}}::{{closure}}",
                "groupwal",
                "Wal::open_with",
            ),
            ("store::sync::<u8>", "store", "store::sync"),
            ("main", "main", "main"),
            ("", "", ""),
            ("<<<", "", ""),
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
