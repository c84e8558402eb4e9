//! Mutants, one after the other in each job's copy of the tree, under one catcher after the other.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::answer::Trouble;
use super::catcher::{Bench, Catcher};
use super::patch::{Claim, Mutant};
use super::result::{CONTROL, Cell, Expected, Invalid, Outcome, Verdict};
use super::suite::Mutants;
use super::tree::{Slot, Tree, Workshop};
use crate::stop::Stop;

/// What to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) mutants: Vec<Mutant>,
    /// Every catcher, not only until one has caught it.
    pub(super) all: bool,
    /// These catchers only; empty for all.
    pub(super) by: Vec<String>,
    pub(super) budget: Option<Duration>,
    pub(super) jobs: usize,
    /// What earlier runs have found.
    pub(super) known: Vec<Cell>,
}

/// Is told how it goes. Called from several threads.
pub(super) trait Observer: Sync {
    /// A catcher begins to look at a mutant.
    fn begin(&self, mutant: &str, claim: &Claim);
    fn cell(&self, cell: &Cell);
    /// All that was to be asked about a mutant has been.
    fn row_done(&self);
    fn invalid(&self, invalid: &Invalid);
}

/// A row of the matrix.
#[derive(Debug)]
struct Row<'a> {
    /// `None` is the tree as it is, which nobody may catch.
    mutant: Option<&'a Mutant>,
    claims: Vec<Claim>,
    fingerprint: String,
}

impl Row<'_> {
    fn name(&self) -> &str {
        self.mutant.map_or(CONTROL, |mutant| &mutant.name)
    }

    fn expected(&self, claim: &Claim) -> Expected {
        let Some(mutant) = self.mutant else {
            return Expected::Miss;
        };
        if mutant.caught_by.contains(claim) {
            Expected::Catch
        } else if mutant.missed_because(&claim.catcher).is_some() {
            Expected::Miss
        } else {
            Expected::Open
        }
    }
}

/// What jobs share.
struct Shared<'a> {
    suite: &'a Mutants,
    plan: &'a Plan,
    bench: Bench<'a>,
    observer: &'a dyn Observer,
    rows: Mutex<VecDeque<(usize, Row<'a>)>>,
    outcome: Mutex<BTreeMap<usize, Vec<Cell>>>,
    invalid: Mutex<Vec<Invalid>>,
    /// The machine fails, or the tree as it is does not compile.
    fatal: Mutex<Option<String>>,
}

/// Tries the mutants. `stop` ends it early, with what is known by then.
///
/// # Errors
/// If the tree as it is does not build, or the machine fails.
pub(super) fn run(
    suite: &Mutants,
    plan: &Plan,
    stop: &Stop,
    observer: &dyn Observer,
) -> Result<Outcome, String> {
    let started = Instant::now();
    let tree = Tree::new(&suite.tree, &suite.touching)?;
    let workshop = Workshop::open(&suite.work_dir())?;
    let shared = Shared {
        suite,
        plan,
        bench: Bench {
            target: workshop.target(),
            building: Mutex::new(()),
            stop,
            budget: plan.budget,
        },
        observer,
        rows: Mutex::new(rows(suite, plan, &tree)?),
        outcome: Mutex::default(),
        invalid: Mutex::default(),
        fatal: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for number in 0..plan.jobs {
            let (shared, tree, workshop) = (&shared, &tree, &workshop);
            scope.spawn(move || {
                let done = Slot::new(tree, workshop, number)
                    .map_err(|error| format!("cannot copy the tree: {error}"))
                    .and_then(|mut slot| shared.work(&mut slot));
                if let Err(why) = done {
                    shared.fatal.lock().expect("no panic").get_or_insert(why);
                }
            });
        }
    });
    if let Some(why) = shared.fatal.into_inner().expect("no panic") {
        return Err(why);
    }
    Ok(Outcome {
        cells: shared
            .outcome
            .into_inner()
            .expect("no panic")
            .into_values()
            .flatten()
            .collect(),
        invalid: shared.invalid.into_inner().expect("no panic"),
        interrupted: stop.is_set(),
        elapsed: started.elapsed(),
    })
}

/// The matrix to be filled: first the tree as it is, under everybody who is asked at all.
fn rows<'a>(
    suite: &Mutants,
    plan: &'a Plan,
    tree: &Tree,
) -> Result<VecDeque<(usize, Row<'a>)>, String> {
    let asked = |claim: &Claim| plan.by.is_empty() || plan.by.contains(&claim.catcher);
    let mut control: Vec<Claim> = Vec::new();
    let mut rows = VecDeque::new();
    let patches = suite.patches.as_path();
    let fingerprint = |mutant| {
        let number = tree.fingerprint(patches, mutant);
        number
            .map(|number| format!("{number:016x}"))
            .map_err(|error| format!("cannot read the tree: {error}"))
    };
    for (index, mutant) in plan.mutants.iter().enumerate() {
        let mut claims = mutant.caught_by.clone();
        if plan.all {
            let named = |name: &str| mutant.caught_by.iter().any(|claim| claim.catcher == name);
            let others = suite
                .catchers
                .iter()
                .filter(|catcher| !named(&catcher.name));
            claims.extend(others.map(|catcher| Claim {
                catcher: catcher.name.clone(),
                argument: None,
            }));
        }
        claims.retain(asked);
        control.extend(claims.iter().cloned());
        let row = Row {
            mutant: Some(mutant),
            claims,
            fingerprint: fingerprint(Some(mutant))?,
        };
        rows.push_back((index + 1, row));
    }
    control.sort_unstable();
    control.dedup();
    let row = Row {
        mutant: None,
        claims: control,
        fingerprint: fingerprint(None)?,
    };
    rows.push_front((0, row));
    Ok(rows)
}

impl Shared<'_> {
    fn ended(&self) -> bool {
        self.bench.stop.is_set() || self.fatal.lock().expect("no panic").is_some()
    }

    fn work(&self, slot: &mut Slot<'_>) -> Result<(), String> {
        loop {
            if self.ended() {
                return Ok(());
            }
            let next = self.rows.lock().expect("no panic").pop_front();
            let Some((index, row)) = next else {
                return Ok(());
            };
            self.fill(index, &row, slot)?;
            if row.mutant.is_some() {
                self.observer.row_done();
            }
        }
    }

    fn fill(&self, index: usize, row: &Row<'_>, slot: &mut Slot<'_>) -> Result<(), String> {
        let mut is_in = false;
        for claim in &row.claims {
            if self.ended() {
                return Ok(());
            }
            let catcher = self.suite.catcher_named(&claim.catcher);
            let catcher = catcher.expect("the headers were checked");
            let cell = if let Some(cell) = self.known(row, claim, catcher) {
                cell
            } else {
                if !std::mem::replace(&mut is_in, true)
                    && let Err(why) = slot.mutate(row.mutant)
                {
                    return self.give_up(row, why);
                }
                self.observer.begin(row.name(), claim);
                match self.look(row, claim, catcher, slot) {
                    Ok(cell) => cell,
                    Err(Trouble::Stopped) => return Ok(()),
                    Err(Trouble::DoesNotCompile(why)) => {
                        return self.give_up(row, format!("it does not compile:\n{why}"));
                    }
                    Err(Trouble::Machine(error)) => {
                        return Err(format!("{} under {claim}: {error}", row.name()));
                    }
                }
            };
            self.observer.cell(&cell);
            let caught = cell.verdict == Verdict::Caught;
            let mut outcome = self.outcome.lock().expect("no panic");
            outcome.entry(index).or_default().push(cell);
            if caught && row.mutant.is_some() && !self.plan.all {
                break;
            }
        }
        Ok(())
    }

    /// A mutant that cannot be tried is told; a tree that cannot be built ends everything.
    fn give_up(&self, row: &Row<'_>, why: String) -> Result<(), String> {
        if row.mutant.is_none() {
            return Err(format!("the tree as it is cannot be tried: {why}"));
        }
        let mutant = row.name().to_owned();
        let invalid = Invalid { mutant, why };
        self.observer.invalid(&invalid);
        self.invalid.lock().expect("no panic").push(invalid);
        Ok(())
    }

    /// What an earlier run found: a miss counts only if it looked as long.
    fn known(&self, row: &Row<'_>, claim: &Claim, catcher: &Catcher) -> Option<Cell> {
        let budget_s = catcher.budget_of(&self.bench).as_secs();
        let counts = |cell: &&Cell| {
            cell.is_for(row.name(), claim)
                && cell.tree == row.fingerprint
                && match cell.verdict {
                    Verdict::Caught => true,
                    Verdict::Missed => cell.budget_s >= budget_s,
                    _ => false,
                }
        };
        let known = self.plan.known.iter().find(counts).cloned();
        // Headers may have changed since.
        known.map(|cell| Cell {
            expected: row.expected(claim),
            ..cell
        })
    }

    fn look(
        &self,
        row: &Row<'_>,
        claim: &Claim,
        catcher: &Catcher,
        slot: &mut Slot<'_>,
    ) -> Result<Cell, Trouble> {
        let answer = catcher.look(claim.argument.as_deref(), slot, &self.bench)?;
        Ok(Cell {
            mutant: row.name().to_owned(),
            catcher: claim.catcher.clone(),
            argument: claim.argument.clone(),
            expected: row.expected(claim),
            verdict: answer.verdict,
            states: answer.states,
            elapsed_s: answer.elapsed.as_secs_f64(),
            budget_s: catcher.budget_of(&self.bench).as_secs(),
            detail: answer.detail,
            tree: row.fingerprint.clone(),
        })
    }
}

/// Everything that is wrong with the mutants before anything is built.
pub(super) fn check(suite: &Mutants, mutants: &[Mutant]) -> Result<(), String> {
    let tree = Tree::new(Path::new(&suite.tree), &suite.touching)?;
    let mut wrong = Vec::new();
    for mutant in mutants {
        let mut tell = |why: String| wrong.push(format!("{}: {why}", mutant.name));
        let missed = mutant.missed_by.iter().flat_map(|miss| &miss.catchers);
        let claims = mutant.caught_by.iter();
        let claims = claims.map(|claim| (&claim.catcher, claim.argument.as_deref()));
        for (name, argument) in claims.chain(missed.map(|name| (name, None))) {
            match suite.catcher_named(name) {
                Some(catcher) => catcher.misfit(argument).into_iter().for_each(&mut tell),
                None => tell(format!(
                    "unknown catcher '{name}'; known are: {}",
                    suite.names()
                )),
            }
        }
        if let Err(why) = tree.misfit(mutant) {
            tell(why);
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}
