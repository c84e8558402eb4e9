//! Files that hold tokens, keys and certificates.

use std::path::Path;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A token is a file's first line.
pub(super) fn read_token(path: &Path) -> Result<String, String> {
    let text =
        String::from_utf8(read(path)?).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    let token = text.lines().next().unwrap_or("").trim();
    if token.is_empty() {
        return Err(format!(
            "{} holds no token in its first line",
            path.display()
        ));
    }
    Ok(token.to_owned())
}
