//! What the programs say, word by word.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::survivor::Survivor;

/// The ids of a directory, all generations together: a number for each word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Names {
    names: Vec<Name>,
    #[serde(skip)]
    numbers: HashMap<String, u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Name {
    word: String,
    /// What the writer announced of its bytes.
    hash: Option<String>,
    /// Which generation tried it; none if only a checker has ever said the word.
    generation: Option<u32>,
}

impl Names {
    fn number(&mut self, word: &str) -> u64 {
        if self.numbers.len() != self.names.len() {
            // Loaded from a file, which holds the names only.
            let numbered = self.names.iter().zip(0..);
            self.numbers = numbered.map(|(name, n)| (name.word.clone(), n)).collect();
        }
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.names.len() as u64;
        self.names.push(Name {
            word: word.to_owned(),
            hash: None,
            generation: None,
        });
        self.numbers.insert(word.to_owned(), number);
        number
    }

    fn name(&self, number: u64) -> Option<&Name> {
        self.names.get(usize::try_from(number).ok()?)
    }

    fn name_mut(&mut self, number: u64) -> &mut Name {
        let index = usize::try_from(number).expect("it is an index");
        &mut self.names[index]
    }

    /// The id as the programs say it.
    pub(super) fn word(&self, number: u64) -> &str {
        self.name(number).map_or("?", |name| &name.word)
    }

    pub(super) fn hash(&self, number: u64) -> Option<&str> {
        self.name(number)?.hash.as_deref()
    }

    /// The generation that tried it.
    pub(super) fn generation(&self, number: u64) -> Option<u32> {
        self.name(number)?.generation
    }

    /// What a generation tried was not tried.
    pub(super) fn take_back(&mut self, generation: u32) {
        for name in &mut self.names {
            if name.generation == Some(generation) {
                name.generation = None;
                name.hash = None;
            }
        }
    }

    /// An event as the writer said it.
    pub(super) fn line(&self, event: &Event) -> String {
        match *event {
            Event::Attempt { id, .. } => match self.hash(id) {
                Some(hash) => format!("attempt {} {hash}", self.word(id)),
                None => format!("attempt {}", self.word(id)),
            },
            _ => match event.ack() {
                Some((id, Some(position))) => format!("ack {} {position}", self.word(id)),
                Some((id, None)) => format!("ack {}", self.word(id)),
                None => "(no word of the protocol)".to_owned(),
            },
        }
    }

    /// What a writer of this generation said, each event with the offset at which its line ends. A
    /// line that the kill cut off was not said.
    ///
    /// The error names the first line that is not of the protocol, and why.
    pub(super) fn events_of(
        &mut self,
        generation: u32,
        said: &[u8],
    ) -> Result<Vec<(usize, Event)>, String> {
        let mut events = Vec::new();
        let mut acked: HashMap<u64, usize> = HashMap::new();
        let mut end = 0;
        let lines = said.split_inclusive(|byte| *byte == b'\n');
        for (line, number) in lines.zip(1..) {
            end += line.len();
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            let garbage = |why: &str| Err(garbage(number, line, why));
            let Ok(text) = std::str::from_utf8(line) else {
                return garbage("is not UTF-8");
            };
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let event = match words[..] {
                [] => continue,
                ["attempt", id] | ["attempt", id, _] => {
                    let id = self.number(id);
                    let name = self.name_mut(id);
                    match name.generation {
                        Some(first) if first == generation => {
                            return garbage("tries an id for the second time");
                        }
                        Some(first) => {
                            return garbage(&format!(
                                "tries an id that generation {first} has tried already: make \
                                 PLUGPULL_GENERATION a part of each id"
                            ));
                        }
                        None => name.generation = Some(generation),
                    }
                    name.hash = words.get(2).map(|hash| (*hash).to_owned());
                    Event::Attempt { id, key: 0 }
                }
                ["ack", id] | ["ack", id, _] => {
                    let id = self.number(id);
                    if self.generation(id) != Some(generation) {
                        return garbage("acknowledges an id without an attempt before it");
                    }
                    if let Some(first) = acked.insert(id, number) {
                        return garbage(&format!("acknowledges again what line {first} did"));
                    }
                    let position = words.get(2).map(|position| position.parse());
                    let Ok(position) = position.transpose() else {
                        return garbage("gives a position that is no number");
                    };
                    Event::acked(id, position)
                }
                _ => {
                    return garbage("is neither 'attempt ID [BYTES-HASH]' nor 'ack ID [POSITION]'");
                }
            };
            events.push((end, event));
        }
        Ok(events)
    }

    /// What a checker said. A survivor's position is its place in the list, from 0.
    ///
    /// The error names the first line that is not of the protocol, and why.
    pub(super) fn survivors_of(&mut self, said: &[u8]) -> Result<Vec<Survivor>, Garbage> {
        let mut survivors = Vec::new();
        for (line, number) in said.split(|byte| *byte == b'\n').zip(1..) {
            let garbage = |why: &str| {
                Err(Garbage {
                    told: garbage(number, line, why),
                    is_of_survivor: line.trim_ascii_start().starts_with(b"survived"),
                })
            };
            let Ok(text) = std::str::from_utf8(line) else {
                return garbage("is not UTF-8");
            };
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let id = match words[..] {
                [] => continue,
                ["survived", id] | ["survived", id, _] => self.number(id),
                _ => return garbage("is not 'survived ID [BYTES-HASH]'"),
            };
            let intact = match (self.hash(id), words.get(2)) {
                (Some(announced), Some(found)) => announced == *found,
                _ => true,
            };
            survivors.push(Survivor {
                position: survivors.len() as u64,
                id,
                intact,
            });
        }
        Ok(survivors)
    }
}

/// What a checker said that is not of the protocol.
#[derive(Debug)]
pub(super) struct Garbage {
    /// Which line, and why.
    pub(super) told: String,
    /// The line begins as one that says what survived.
    pub(super) is_of_survivor: bool,
}

/// Lines of garbage can be long; their beginning is enough to find them.
const SHOWN_MAX: usize = 80;

fn garbage(number: usize, line: &[u8], why: &str) -> String {
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_MAX)]);
    let more = if line.len() > SHOWN_MAX { ".." } else { "" };
    format!("line {number}, '{}{more}', {why}", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_from_its_end_on() {
        let mut names = Names::default();
        let events = names.events_of(0, b"attempt a h1\n\nack a 7\nattempt b\nack b\natt");
        let events = events.expect("all of the protocol");
        let ends: Vec<usize> = events.iter().map(|(end, _)| *end).collect();
        assert_eq!(ends, [13, 22, 32, 38]);
        let lines: Vec<String> = events.iter().map(|(_, event)| names.line(event)).collect();
        assert_eq!(lines, ["attempt a h1", "ack a 7", "attempt b", "ack b"]);
    }

    #[test]
    fn garbage_is_named_by_its_line() {
        for (said, complaint) in [
            ("attempt a\nhello\n", "line 2, 'hello', is neither"),
            ("ack a\n", "line 1, 'ack a', acknowledges an id without"),
            ("attempt a\nattempt a\n", "line 2, 'attempt a', tries"),
            ("attempt a\nack a\nack a\n", "again what line 2 did"),
            ("attempt a\nack a b\n", "a position that is no number"),
            ("attempt old\n", "tries an id that generation 0 has tried"),
        ] {
            let mut names = Names::default();
            names.events_of(0, b"attempt old\n").expect("fine");
            let error = names.events_of(1, said.as_bytes()).expect_err(said);
            assert!(error.contains(complaint), "{error}");
        }
        let error = Names::default().survivors_of(b"survived a\nok\n");
        let error = error.expect_err("no survivor");
        assert!(error.told.contains("line 2, 'ok', is not"), "{error:?}");
        assert!(!error.is_of_survivor, "{error:?}");
        for said in [&b"survived a b c\n"[..], b"survived \xff\n", b"survived"] {
            let error = Names::default().survivors_of(said).expect_err("garbage");
            assert!(error.is_of_survivor, "{error:?}");
        }
    }

    #[test]
    fn ids_keep_their_numbers_when_they_are_saved() {
        let mut names = Names::default();
        names
            .events_of(0, b"attempt a 1\nattempt b\n")
            .expect("fine");
        let saved = serde_json::to_string(&names).expect("plain data");
        let mut names: Names = serde_json::from_str(&saved).expect("as it was saved");
        let survivors = names
            .survivors_of(b"survived b 5\nsurvived a 2")
            .expect("fine");
        let ids: Vec<(u64, bool)> = survivors.iter().map(|s| (s.id, s.intact)).collect();
        assert_eq!(ids, [(1, true), (0, false)]);
    }
}
