//! Files by what they are for: names with numbers, and names that were drawn, have one role.

/// Files that differ in numbers, or in letters that were drawn for a new name, have one role.
pub(crate) fn role_of(path: &str) -> String {
    let mut role = String::new();
    let mut before = "";
    for piece in path.split_inclusive(['/', '.', '-', '_']) {
        let token = piece.trim_end_matches(['/', '.', '-', '_']);
        let drawn = drawn_in(token, before);
        role += &without_digits(&token[..token.len() - drawn]);
        if drawn > 0 {
            role.push('X');
        }
        role += &piece[token.len()..];
        before = piece;
    }
    role
}

/// The number of letters at the end of a part of a name that were drawn: by `mkstemp` and what is like it 6, in
/// Python 8, by `SQLite` more.
fn drawn_in(token: &str, before: &str) -> usize {
    if before == "etilqs_" {
        return token.len();
    }
    let (rest, is_temporary) = match token.strip_prefix("tmp") {
        Some(rest) => (rest, true),
        None => (token, false),
    };
    let is_drawn = match rest.len() {
        6 => is_no_word(rest),
        8 => is_temporary && is_no_word(rest),
        _ => false,
    };
    if is_drawn { rest.len() } else { 0 }
}

/// Letters and digits in an order that no word has, nor a word with its number.
fn is_no_word(text: &str) -> bool {
    let word = text.trim_end_matches(|char: char| char.is_ascii_digit());
    let rest = word.get(1..).unwrap_or_default();
    let is_lower = |text: &str| text.chars().all(|char| char.is_ascii_lowercase());
    let is_upper = word.chars().all(|char| char.is_ascii_uppercase());
    let is_word = is_lower(word) || is_upper || is_lower(rest) && !word.starts_with(is_digit);
    text.chars().all(|char| char.is_ascii_alphanumeric()) && !is_word
}

fn is_digit(char: char) -> bool {
    char.is_ascii_digit()
}

fn without_digits(text: &str) -> String {
    let mut pattern = String::new();
    let mut was_digit = false;
    for char in text.chars() {
        let is_digit = is_digit(char);
        if !is_digit {
            pattern.push(char);
        } else if !was_digit {
            pattern.push('N');
        }
        was_digit = is_digit;
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::role_of;

    #[test]
    fn a_run_of_digits_is_one_letter() {
        for (path, role) in [
            ("000123.log", "N.log"),
            ("MANIFEST-000004", "MANIFEST-N"),
            ("base/16384/2608", "base/N/N"),
            ("N1", "NN"),
            ("store.db-wal", "store.db-wal"),
            ("wal.log001", "wal.logN"),
            ("é/7.öl", "é/N.öl"),
        ] {
            assert_eq!(role_of(path), role);
        }
    }

    #[test]
    fn letters_that_were_drawn_are_one_letter() {
        for (path, role) in [
            ("index.q3XbZ0", "index.X"),
            ("index.aBcDeF", "index.X"),
            ("objects/tmp_obj_0kWq2L", "objects/tmp_obj_X"),
            (".tmpR4nd0m", ".tmpX"),
            ("tmpk3x9_q.d/12", "tmpkNxN_q.d/N"),
            ("tmpk3x9zq1w", "tmpX"),
            ("etilqs_p3gk0ab1qweruiop", "etilqs_X"),
            // Words.
            ("store.backup", "store.backup"),
            ("Backup.SQLITE", "Backup.SQLITE"),
            ("tmpbackup", "tmpbackup"),
        ] {
            assert_eq!(role_of(path), role, "{path}");
        }
    }
}
