//! `run`: a torture.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::args::RunArgs;
use super::choose::{choose, program};
use super::reporter::reporter;
use super::seed::draw_seed;
use super::signal::Signals;
use crate::campaign::{self, Pass, Watching};
use crate::crash_kind::CrashKind;
use crate::failures;
use crate::hang::OnHang;
use crate::known::Known;
use crate::plan::{Budget, DiskOptions, Plan};
use crate::report::Ledger;
use crate::store::{BlackBox, Tested};
use crate::subject::Subject;

const DEFAULT_DURATION: Duration = Duration::from_secs(30);
/// The time that the work has to end after the last words.
const TIDYING: Duration = Duration::from_millis(300);

pub(super) fn run(
    subjects: &[&dyn Subject],
    args: RunArgs,
    on_hang: &OnHang,
    torture: &OnceLock<Arc<Ledger>>,
) -> Result<u8, String> {
    let black_box = black_box_of(&args)?;
    let chosen = if let Some(black_box) = &black_box {
        vec![Tested::Command(black_box)]
    } else {
        let chosen = choose(subjects, &args.subjects)?;
        chosen.into_iter().map(Tested::Subject).collect()
    };
    for engine in &args.engine {
        if !chosen
            .iter()
            .all(|subject| subject.engines().contains(&engine.as_str()))
        {
            return Err(format!(
                "engine '{engine}' is not one of every subject's; see `list`"
            ));
        }
    }
    let named = !args.crash.is_empty();
    let kinds = kinds_of(&args)?;
    let mut passes = vec![Pass {
        subjects: &chosen,
        kinds: &kinds,
        is_usual: false,
    }];
    if args.with_disk {
        passes.push(Pass {
            subjects: &chosen[..1],
            kinds: &[CrashKind::Disk],
            is_usual: false,
        });
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut plan = Plan {
        budget: Budget::Rounds(args.rounds.unwrap_or(0)),
        round: args.round,
        seed: args.seed.unwrap_or_else(|| u64::from(draw_seed())),
        jobs: args.jobs.unwrap_or(cores).max(1),
        engines: args.engine,
        scratch: args.dir,
        out: args.out.unwrap_or_else(failures::folder),
        file_systems: args.fs,
        disk: DiskOptions {
            bytes: args.disk_size,
            mkfs: args
                .mkfs_options
                .iter()
                .flat_map(|options| options.split_whitespace().map(str::to_owned))
                .collect(),
            mount: args.mount_options,
        },
        profiles: args.profile,
        is_named: named,
        recorder: args.recorder,
        faults: args.fault,
        hang_limit: args.hang_limit,
        lifespan: args.writers.lifespan(),
        cuts: args.cuts,
        ignored: args.ignore,
        image: args.beginning.image,
        known: Known(args.known),
        shard: args.shard,
        keep_going: args.patience.keep_going,
        fail_fast: args.patience.fail_fast,
        ..Plan::default()
    };
    if args.rounds.is_none() {
        let rows = passes
            .iter()
            .map(|pass| pass.subjects.len() * campaign::cases(pass.kinds, &plan).len());
        let rows = u32::try_from(rows.sum::<usize>()).unwrap_or(u32::MAX);
        plan.budget = Budget::Duration(args.duration.unwrap_or(DEFAULT_DURATION) / rows);
    }
    if named {
        for subject in &chosen {
            campaign::require(*subject, &kinds, &plan)?;
        }
    }
    if plan.round.is_some() {
        for subject in &chosen {
            campaign::require_lone_rounds(*subject, &kinds, &plan)?;
        }
    }
    let ledger = Arc::new(Ledger::new(reporter(args.json)));
    drop(torture.set(Arc::clone(&ledger)));
    let kept = Arc::clone(&ledger);
    let signals = Signals::heeded(Box::new(move |signal| farewell(&kept, signal)))?;
    let plan = plan.stopped_by(&signals.stop);
    let watching = Watching {
        ledger: &ledger,
        on_hang,
    };
    campaign::run(&passes, &plan, watching);
    Ok(ledger
        .close(signals.first())
        .unwrap_or_else(wait_for_the_end))
}

/// The commands that are asked for.
fn black_box_of(args: &RunArgs) -> Result<Option<BlackBox>, String> {
    let program = program([&args.cmd, &args.check, &args.owner])?;
    let setup = args.beginning.setup.as_deref();
    Ok(match (program, setup) {
        (Some(program), Some(setup)) => Some(program.setup(setup)?),
        (program, _) => program,
    })
}

/// The crash kinds that are asked for, by name or by what is asked of them.
fn kinds_of(args: &RunArgs) -> Result<Vec<CrashKind>, String> {
    let kinds = if !args.crash.is_empty() {
        args.crash.clone()
    } else if !args.fault.is_empty() {
        vec![CrashKind::Fault]
    } else if args.fs.is_empty() {
        CrashKind::UNPRIVILEGED.to_vec()
    } else {
        vec![CrashKind::Disk]
    };
    if !args.fault.is_empty() && !kinds.contains(&CrashKind::Fault) {
        return Err("--fault is for the crash kind fault: add it to --crash".to_owned());
    }
    Ok(kinds)
}

/// Tells what was found by now. Work that does not hang ends its processes and removes its directory
/// meanwhile. What hangs is gone with the process, and the next one removes its directory.
fn farewell(ledger: &Ledger, signal: i32) -> u8 {
    let status = ledger.close(Some(signal)).unwrap_or_else(wait_for_the_end);
    let deadline = Instant::now() + TIDYING;
    while !ledger.is_over() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    status
}

/// Another thread tells the end already: its exit status counts.
fn wait_for_the_end() -> u8 {
    loop {
        std::thread::park();
    }
}
