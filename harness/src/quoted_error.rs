//! The number of an error of the kernel, in what a store says.

/// Whether an error of this number is quoted: `os error 28` in Rust, `Errno 28` in Python.
pub(crate) fn quotes_error(words: &str, number: u32) -> bool {
    let words = words.to_ascii_lowercase();
    ["os error ", "errno "].iter().any(|before| {
        words.split(before).skip(1).any(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            rest[..digits.unwrap_or(rest.len())].parse() == Ok(number)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::quotes_error;

    #[test]
    fn a_number_is_not_the_beginning_of_a_longer_one() {
        assert!(quotes_error("busy (os error 11)", 11));
        assert!(quotes_error("OSError: [Errno 11] busy", 11));
        assert!(!quotes_error("Connection refused (os error 111)", 11));
        assert!(!quotes_error("Disk quota exceeded (os error 122)", 12));
        assert!(!quotes_error("11 entries", 11));
    }
}
