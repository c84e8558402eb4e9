//! Paths in the tokens of macros and attributes, which no grammar tells from other words.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;

/// All that may be a path.
pub(crate) fn paths(tokens: &TokenStream) -> Vec<Vec<String>> {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut paths = Vec::new();
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Ident(_) => {
                let (path, end) = path_at(&trees, at);
                let group = trees.get(end + 2).filter(|_| is_colons(&trees, end));
                let path = (!is_part_of_more(&trees[..at], &path[0])).then_some(path);
                match group {
                    // `use path::{one, two}`
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                        let prefix = path.unwrap_or_default();
                        let inner = self::paths(&group.stream()).into_iter();
                        paths.extend(inner.map(|inner| [prefix.clone(), inner].concat()));
                        at = end + 3;
                    }
                    _ => {
                        paths.extend(path);
                        at = end;
                    }
                }
            }
            TokenTree::Group(group) => {
                paths.extend(self::paths(&group.stream()));
                at += 1;
            }
            _ => at += 1,
        }
    }
    paths
}

/// The path that begins here, and where it ends.
fn path_at(trees: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(name)) = trees.get(at) {
        path.push(name.unraw().to_string());
        at += 1;
        match trees.get(at + 2) {
            Some(TokenTree::Ident(_)) if is_colons(trees, at) => at += 2,
            _ => break,
        }
    }
    (path, at)
}

fn is_colons(trees: &[TokenTree], at: usize) -> bool {
    is_punct(trees.get(at), ':') && is_punct(trees.get(at + 1), ':')
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Whether a name after these tokens is a field, a method, a lifetime, a macro's variable, or the end
/// of a path whose beginning is unknown or in another crate.
fn is_part_of_more(before: &[TokenTree], name: &str) -> bool {
    let last = before.last();
    let earlier = before.len().checked_sub(2).map(|at| &before[at]);
    let is_range = is_punct(last, '.') && is_punct(earlier, '.');
    let is_field = is_punct(last, '.') && !is_range;
    let is_tail = is_punct(last, ':') && is_punct(earlier, ':');
    let is_variable = is_punct(last, '$') && name != "crate";
    is_field || is_tail || is_variable || is_punct(last, '\'')
}

/// The names of what is defined in these tokens, as in `thread_local!`.
pub(crate) fn definitions(tokens: &TokenStream) -> Vec<Ident> {
    const KEYWORDS: [&str; 8] = [
        "const", "enum", "fn", "static", "struct", "trait", "type", "union",
    ];
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let named = trees.windows(2).filter_map(|pair| match pair {
        [TokenTree::Ident(keyword), TokenTree::Ident(name)] => {
            let is_definition = KEYWORDS.iter().any(|known| keyword == known);
            is_definition.then(|| name.clone())
        }
        _ => None,
    });
    named.collect()
}

/// The paths in string literals.
pub(crate) fn quoted_paths(tokens: &TokenStream) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for tree in tokens.clone() {
        let TokenTree::Literal(literal) = tree else {
            continue;
        };
        let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else {
            continue;
        };
        if let Ok(path) = text.parse::<syn::Path>() {
            let segments = path.segments.iter();
            paths.push(segments.map(|it| it.ident.unraw().to_string()).collect());
        }
    }
    paths
}
