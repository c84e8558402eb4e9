//! Text that fits a terminal.

use textwrap::{Options, WordSeparator, WordSplitter};

/// The width that stories are told in, in columns.
pub(crate) const WIDTH: usize = 80;

/// Breaks lines that are longer than `width` columns between words. The items of a list hang. What is indented by four
/// or more is as it has to be, such as a command, and so is a heading.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        if line.chars().count() <= width || line.starts_with("    ") || line.starts_with('#') {
            wrapped.push_str(line);
        } else {
            let indent = " ".repeat(hanging(line));
            let options = Options::new(width)
                .subsequent_indent(&indent)
                .break_words(false)
                .word_separator(WordSeparator::AsciiSpace)
                .word_splitter(WordSplitter::NoHyphenation);
            wrapped.push_str(&textwrap::fill(line, options));
        }
        wrapped.push_str(end);
    }
    wrapped
}

/// How far the text of a line is from its beginning: behind spaces, and behind the mark of a list's item.
fn hanging(line: &str) -> usize {
    let text = line.trim_start_matches(' ');
    let spaces = line.len() - text.len();
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let mark = match text.get(digits..) {
        Some(rest) if digits > 0 && rest.starts_with(". ") => digits + 2,
        Some(rest) if digits == 0 && rest.starts_with("- ") => 2,
        _ => 0,
    };
    spaces + mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        for (text, told) in [
            ("one two three\n", "one two\nthree\n"),
            ("- one two three", "- one two\n  three"),
            ("12. one two three", "12. one\n    two\n    three"),
            ("   one two three", "   one two\n   three"),
            ("averylongword and", "averylongword\nand"),
            ("one\ntwo", "one\ntwo"),
        ] {
            assert_eq!(wrapped(text, 10), told);
        }
    }

    #[test]
    fn commands_and_headings_stay_in_one_line() {
        for line in ["    cp -a image copy", "# lost: entry 0x1 is gone"] {
            assert_eq!(wrapped(line, 10), line);
        }
    }
}
