//! One of several processes that do the rounds of one torture, on one machine or on many.
//!
//! Rounds depend on the seed and their number, not on each other, so shard *i* of *n* does the
//! rounds whose number leaves *i* − 1 when divided by *n*, and nobody has to talk to anybody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which of how many, as `2/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Shard {
    /// From 1.
    index: u64,
    count: u64,
}

/// More machines than that are not what this is for; it keeps round numbers far from overflow.
const COUNT_MAX: u64 = 1 << 16;

impl Shard {
    /// A torture that is not shared out.
    pub(crate) const WHOLE: Self = Self { index: 1, count: 1 };

    pub(crate) fn is_whole(self) -> bool {
        self.count == 1
    }

    pub(crate) fn count(self) -> u64 {
        self.count
    }

    /// The number, in the whole torture, of what is this shard's `own`-th: a round, or a lane with its
    /// stream of randomness.
    pub(crate) fn number(self, own: u64) -> u64 {
        own.saturating_mul(self.count)
            .saturating_add(self.index - 1)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "'{text}' is no shard: write i/n with i from 1 to n, and n at most {COUNT_MAX}, as \
                 in 2/4"
            )
        };
        let (index, count) = text.split_once('/').ok_or_else(bad)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        let (index, count) = (number(index)?, number(count)?);
        if count > COUNT_MAX || index == 0 || index > count {
            return Err(bad());
        }
        Ok(Self { index, count })
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_share_out_every_number_once() {
        for count in [1, 2, 3, 7] {
            let mut numbers: Vec<u64> = (1..=count)
                .map(|index| format!("{index}/{count}").parse::<Shard>().unwrap())
                .flat_map(|shard| (0..5).map(move |own| shard.number(own)))
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..5 * count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in [
            "", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1/65537",
        ] {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(error.contains("is no shard"), "{text}: {error}");
        }
    }
}
