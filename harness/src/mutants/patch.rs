//! A mutant: a patch with a header that says what it breaks, and who must see it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A known bug, as a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// What its file's name begins with.
    pub(super) number: u32,
    /// The file's name without its extension: `07-lost-wake-up`.
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
    /// The bug in one line.
    pub(super) title: String,
    /// The kinds of mistake that it is an example of.
    pub(super) hazards: Vec<String>,
    /// Who must catch it, the cheapest first.
    pub(super) caught_by: Vec<Claim>,
    /// Who cannot, and why.
    pub(super) missed_by: Vec<Miss>,
    /// What is lost and why, in prose.
    pub(super) story: String,
    /// The patch itself.
    pub(super) diff: String,
    /// The files that it changes.
    pub(super) touches: BTreeSet<PathBuf>,
}

/// A catcher, and what it is asked to look at: `power`, `power(groupwal/batch)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    /// Its name.
    pub(super) catcher: String,
    /// Instead of what it looks at by itself.
    pub(super) argument: Option<String>,
}

/// Catchers that cannot see a mutant, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    /// Their names.
    pub(super) catchers: Vec<String>,
    /// The reason.
    pub(super) why: String,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            Some(argument) => write!(f, "{}({argument})", self.catcher),
            None => f.write_str(&self.catcher),
        }
    }
}

impl Claim {
    fn parse(text: &str) -> Result<Self, String> {
        let (catcher, argument) = match text.split_once('(') {
            Some((catcher, rest)) => {
                let argument = rest.strip_suffix(')');
                let argument =
                    argument.ok_or_else(|| format!("'{text}' has no closing bracket"))?;
                (catcher, Some(argument.to_owned()))
            }
            None => (text, None),
        };
        let is_word = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
        if !is_word(catcher) || !argument.as_deref().is_none_or(is_word) {
            return Err(format!(
                "'{text}' is no catcher: write NAME or NAME(ARGUMENT)"
            ));
        }
        Ok(Self {
            catcher: catcher.to_owned(),
            argument,
        })
    }
}

impl Mutant {
    /// Reads all `*.patch` files of a folder, in the order of their names.
    ///
    /// # Errors
    /// Says for every file what is wrong with it.
    pub(super) fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        let at = |error| format!("cannot read {}: {error}", folder.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(at)? {
            let path = entry.map_err(at)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "patch")
            {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        let mut mutants: Vec<Self> = Vec::new();
        let mut wrong = Vec::new();
        for path in paths {
            let parsed = fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|text| Self::parse(&path, &text));
            match parsed {
                Ok(mutant) => match mutants.last() {
                    Some(last) if last.number == mutant.number => {
                        wrong.push(format!("{}: {} has this number", path.display(), last.name));
                    }
                    _ => mutants.push(mutant),
                },
                Err(why) => wrong.push(format!("{}: {why}", path.display())),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        if mutants.is_empty() {
            return Err(format!("there is no *.patch in {}", folder.display()));
        }
        Ok(mutants)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let name = stem.ok_or("its name is not UTF-8")?.to_owned();
        let number = name
            .split_once('-')
            .and_then(|(number, _)| number.parse().ok());
        let number = number.filter(|number| *number > 0);
        let number = number.ok_or("its name does not begin with a number above 0 and a dash")?;
        let header_end = if text.starts_with("diff --git ") {
            0
        } else {
            1 + text
                .find("\ndiff --git ")
                .ok_or("it has no line 'diff --git ..'")?
        };
        let (header, diff) = text.split_at(header_end);
        let (title, rest) = header.split_once('\n').unwrap_or((header, ""));
        let mut mutant = Self {
            number,
            name,
            path: path.to_owned(),
            title: title.trim().to_owned(),
            hazards: Vec::new(),
            caught_by: Vec::new(),
            missed_by: Vec::new(),
            story: String::new(),
            diff: diff.to_owned(),
            touches: touched(diff)?,
        };
        if mutant.title.is_empty() {
            return Err("its first line should say in a few words what the bug is".to_owned());
        }
        let (fields, story) = rest
            .strip_prefix('\n')
            .and_then(|rest| rest.split_once("\n\n"))
            .ok_or(
                "behind its title it needs an empty line, the fields, an empty line, the story",
            )?;
        story.trim().clone_into(&mut mutant.story);
        mutant.read_fields(fields)?;
        for (missing, what) in [
            (mutant.story.is_empty(), "a story: what is lost, and why"),
            (mutant.hazards.is_empty(), "a field 'hazard:'"),
            (mutant.caught_by.is_empty(), "a field 'caught-by:'"),
        ] {
            if missing {
                return Err(format!("it needs {what}"));
            }
        }
        let missed = mutant.missed_by.iter().flat_map(|miss| &miss.catchers);
        for name in missed {
            if mutant.caught_by.iter().any(|claim| claim.catcher == *name) {
                return Err(format!("{name} both catches and misses it"));
            }
        }
        Ok(mutant)
    }

    /// Fields are `key: value`; a line that begins with a space goes on with the one before.
    fn read_fields(&mut self, text: &str) -> Result<(), String> {
        let mut fields: Vec<String> = Vec::new();
        for line in text.lines() {
            match fields.last_mut() {
                Some(last) if line.starts_with(' ') => {
                    last.push(' ');
                    last.push_str(line.trim());
                }
                _ => fields.push(line.trim_end().to_owned()),
            }
        }
        for field in fields {
            let (key, value) = field.split_once(": ").ok_or_else(|| {
                format!(
                    "'{field}' is no field: write 'hazard: ..', 'caught-by: ..' or 'missed-by: ..'"
                )
            })?;
            match key {
                "hazard" => self.hazards.push(value.to_owned()),
                "caught-by" => {
                    for claim in value.split(", ") {
                        self.caught_by.push(Claim::parse(claim)?);
                    }
                }
                "missed-by" => {
                    let (catchers, why) = value.split_once(": ").ok_or_else(|| {
                        format!(
                            "'missed-by: {value}' gives no reason: write 'missed-by: KINDS: why'"
                        )
                    })?;
                    let catchers = catchers.split(", ").map(str::to_owned).collect();
                    let why = why.to_owned();
                    self.missed_by.push(Miss { catchers, why });
                }
                _ => return Err(format!("'{key}' is no field that a mutant has")),
            }
        }
        Ok(())
    }

    /// Why this catcher cannot see it, if the header says that it cannot.
    pub(super) fn missed_because(&self, catcher: &str) -> Option<&str> {
        let miss = self
            .missed_by
            .iter()
            .find(|miss| miss.catchers.iter().any(|name| name == catcher));
        miss.map(|miss| miss.why.as_str())
    }
}

/// The files that a diff changes.
fn touched(diff: &str) -> Result<BTreeSet<PathBuf>, String> {
    let mut touched = BTreeSet::new();
    for line in diff.lines() {
        let Some(names) = line.strip_prefix("diff --git a/") else {
            continue;
        };
        let both = names.split_once(" b/").filter(|(a, b)| a == b);
        let (name, _) = both
            .ok_or_else(|| format!("'{line}': a mutant changes files, it does not rename them"))?;
        touched.insert(PathBuf::from(name));
    }
    Ok(touched)
}

/// Picks mutants by what `--only` says: `7`, `1-10`, `07-lost-wake-up` or `lost-wake-up`.
///
/// # Errors
/// If a word names none of them.
pub(super) fn pick(mutants: Vec<Mutant>, only: &[String]) -> Result<Vec<Mutant>, String> {
    if only.is_empty() {
        return Ok(mutants);
    }
    let mut picked = BTreeSet::new();
    for word in only {
        let range = match word.split_once('-') {
            Some((low, high)) => low.parse::<u32>().ok().zip(high.parse::<u32>().ok()),
            None => word.parse().ok().map(|number| (number, number)),
        };
        let is_it = |mutant: &Mutant| {
            if let Some((low, high)) = range {
                return (low..=high).contains(&mutant.number);
            }
            let (_, name) = mutant.name.split_once('-').expect("it was parsed");
            mutant.name == *word || name == word
        };
        let found = mutants.iter().filter(|mutant| is_it(mutant));
        let found: Vec<u32> = found.map(|mutant| mutant.number).collect();
        if found.is_empty() {
            return Err(format!("there is no mutant '{word}'; see `mutants --list`"));
        }
        picked.extend(found);
    }
    let mut mutants = mutants;
    mutants.retain(|mutant| picked.contains(&mutant.number));
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
an append is acknowledged before its sync

hazard: 8 acknowledged
  too early
caught-by: power, power(store/batch)
missed-by: kill, syscall: the page cache
  survives

What is lost, and why.

diff --git a/src/a.rs b/src/a.rs
--- a/src/a.rs
";

    fn parse(text: &str) -> Result<Mutant, String> {
        Mutant::parse(Path::new("mutants/07-early.patch"), text)
    }

    #[test]
    fn a_header_is_read_whole() {
        let mutant = parse(WHOLE).expect("it is well-formed");
        assert_eq!((mutant.number, mutant.name.as_str()), (7, "07-early"));
        assert_eq!(mutant.title, "an append is acknowledged before its sync");
        assert_eq!(mutant.hazards, ["8 acknowledged too early"]);
        let claims: Vec<String> = mutant.caught_by.iter().map(Claim::to_string).collect();
        assert_eq!(claims, ["power", "power(store/batch)"]);
        let why = mutant.missed_because("syscall");
        assert_eq!(why, Some("the page cache survives"));
        assert_eq!(mutant.missed_because("rot"), None);
        assert_eq!(mutant.story, "What is lost, and why.");
        assert!(mutant.touches.contains(Path::new("src/a.rs")));
    }

    #[test]
    fn what_is_missing_in_a_header_is_told() {
        for (from, to, words) in [
            ("caught-by: power, power(store/batch)\n", "", "'caught-by:'"),
            ("hazard: 8 acknowledged\n  too early\n", "", "'hazard:'"),
            ("What is lost, and why.\n", "", "it needs a story"),
            (": the page cache\n  survives", "", "gives no reason"),
            (
                "missed-by: kill",
                "missed-by: power",
                "both catches and misses",
            ),
            ("missed-by", "mist-by", "'mist-by' is no field"),
            ("batch)", "batch", "no closing bracket"),
            ("b/src/a.rs", "b/src/b.rs", "does not rename"),
            ("diff --git", "patch", "no line 'diff --git"),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let why = parse(&WHOLE.replacen(from, to, 1)).expect_err(from);
            assert!(why.contains(words), "{from}: {why}");
        }
        let unnumbered = Mutant::parse(Path::new("early.patch"), WHOLE);
        assert!(unnumbered.expect_err("no number").contains("number"));
    }

    #[test]
    fn mutants_are_picked_by_number_range_and_name() {
        let mutants = || {
            ["01-a", "02-b", "10-c-d"].map(|name| {
                Mutant::parse(Path::new(&format!("{name}.patch")), WHOLE).expect("well-formed")
            })
        };
        let pick = |words: &str| {
            let words: Vec<String> = words.split(',').map(str::to_owned).collect();
            let picked = pick(mutants().into(), &words)?;
            Ok::<_, String>(picked.into_iter().map(|m| m.number).collect::<Vec<_>>())
        };
        assert_eq!(pick("2"), Ok(vec![2]));
        assert_eq!(pick("2-10,c-d"), Ok(vec![2, 10]));
        assert_eq!(pick("10-c-d,a,1"), Ok(vec![1, 10]));
        assert!(pick("a,e").expect_err("unknown").contains("'e'"));
        assert!(pick("3-9").is_err());
    }
}
