//! Each rule of the log oracle, shown to hold for a correct recovery and to fail for the damage it
//! is for.

use plugpull::history::Event::{
    self, Ack, Attempt, Closed, Durable, Refused, Shown, Together, TrimBegin,
};
use plugpull::oracle::{LogOracle, Oracle, Violation};
use plugpull::{Survivor, workload};
use rand_chacha::rand_core::SeedableRng;

/// The id of the n-th attempt of a generation.
fn id(generation: u32, n: u64) -> u64 {
    u64::from(generation) << 44 | n
}

fn attempt(id: u64) -> Event {
    Attempt { id, key: 0 }
}

fn survivors(base: u64, ids: &[u64]) -> Vec<Survivor> {
    let at = |(id, position): (&u64, u64)| Survivor {
        position,
        id: *id,
        intact: true,
    };
    ids.iter().zip(base..).map(at).collect()
}

/// Attempts 0 to 4 of generation 0; 0 to 2 acknowledged, 3 refused, 4 indeterminate.
fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..3 {
        events.extend([
            attempt(id(0, n)),
            Ack {
                id: id(0, n),
                position: n,
            },
        ]);
    }
    events.extend([
        attempt(id(0, 3)),
        Refused { id: id(0, 3) },
        attempt(id(0, 4)),
    ]);
    events
}

fn ids(numbers: &[u64]) -> Vec<u64> {
    numbers.iter().map(|n| id(0, *n)).collect()
}

fn check(base: u64, numbers: &[u64]) -> Result<(), Violation> {
    LogOracle::default().check(&events(), &survivors(base, &ids(numbers)))
}

#[test]
fn an_indeterminate_attempt_may_survive_or_not() {
    assert_eq!(check(0, &[0, 1, 2]), Ok(()));
    assert_eq!(check(0, &[0, 1, 2, 4]), Ok(()));
}

#[test]
fn a_lost_acknowledgement_is_a_violation() {
    assert_eq!(
        check(0, &[0, 1]),
        Err(Violation::LostAck {
            id: id(0, 2),
            position: 2
        })
    );
    assert_eq!(
        check(0, &[]),
        Err(Violation::LostAck {
            id: id(0, 0),
            position: 0
        })
    );
}

#[test]
fn an_entry_at_another_position_than_acknowledged_is_a_violation() {
    let found = id(0, 2);
    assert_eq!(
        check(0, &[0, 2, 1]),
        Err(Violation::WrongAck {
            id: id(0, 1),
            position: 1,
            found
        })
    );
}

#[test]
fn a_refused_entry_must_never_appear() {
    let phantom = Violation::Phantom {
        id: id(0, 3),
        position: 3,
    };
    assert_eq!(check(0, &[0, 1, 2, 3]), Err(phantom));
}

#[test]
fn an_entry_that_nobody_tried_is_a_phantom() {
    let phantom = Violation::Phantom {
        id: id(0, 9),
        position: 3,
    };
    assert_eq!(check(0, &[0, 1, 2, 9]), Err(phantom));
}

#[test]
fn one_attempt_is_one_entry() {
    let duplicate = Violation::Duplicate {
        id: id(0, 2),
        position: 3,
    };
    assert_eq!(check(0, &[0, 1, 2, 2]), Err(duplicate));
}

#[test]
fn mangled_bytes_are_a_violation() {
    let mut survivors = survivors(0, &ids(&[0, 1, 2]));
    survivors[1].intact = false;
    let result = LogOracle::default().check(&events(), &survivors);
    assert_eq!(result, Err(Violation::Mangled { position: 1 }));
}

#[test]
fn a_hole_is_a_violation_even_where_nothing_was_acknowledged() {
    let mut survivors = survivors(0, &ids(&[0, 1, 2, 4]));
    survivors[3].position = 5;
    let result = LogOracle::default().check(&events(), &survivors);
    assert_eq!(result, Err(Violation::Hole { after: 2, found: 5 }));
}

#[test]
fn the_beginning_may_go_only_below_a_trim() {
    assert_eq!(
        check(1, &[1, 2]),
        Err(Violation::LostBeginning {
            expected: 0,
            found: 1
        })
    );
    let mut events = events();
    events.push(TrimBegin { below: 2 });
    let after_trim = |base, numbers: &[u64]| {
        LogOracle::default().check(&events, &survivors(base, &ids(numbers)))
    };
    for (base, numbers) in [(0, &[0, 1, 2][..]), (1, &[1, 2]), (2, &[2])] {
        assert_eq!(after_trim(base, numbers), Ok(()), "from {base}");
    }
    let lost = Violation::LostBeginning {
        expected: 2,
        found: 3,
    };
    assert_eq!(after_trim(3, &[4]), Err(lost));
    assert_eq!(
        after_trim(2, &[]),
        Err(Violation::LostAck {
            id: id(0, 2),
            position: 2
        })
    );
}

#[test]
fn what_was_tried_after_an_acknowledgement_stands_behind_it() {
    // 1 was tried after 0 had been acknowledged at position 1, so it cannot stand at position 0.
    let events = [
        attempt(id(0, 0)),
        Ack {
            id: id(0, 0),
            position: 1,
        },
        attempt(id(0, 1)),
    ];
    let result = LogOracle::default().check(&events, &survivors(0, &ids(&[1, 0])));
    assert_eq!(
        result,
        Err(Violation::OutOfOrder {
            id: id(0, 1),
            position: 0,
            after: 1
        })
    );
}

#[test]
fn what_a_running_reader_was_shown_must_survive() {
    let mut events = events();
    events.push(Shown {
        id: id(0, 4),
        position: 3,
    });
    let result = LogOracle::default().check(&events, &survivors(0, &ids(&[0, 1, 2])));
    let unshown = Violation::Unshown {
        id: id(0, 4),
        position: 3,
        found: None,
    };
    assert_eq!(result, Err(unshown));
}

#[test]
fn what_one_recovery_showed_no_later_one_loses_and_what_it_cut_never_returns() {
    let shown = survivors(0, &ids(&[0, 1, 2, 4]));
    let cut = survivors(0, &ids(&[0, 1, 2]));
    let next = [attempt(id(1, 0))];

    let mut oracle = LogOracle::default();
    oracle.advance(&events(), &shown);
    assert_eq!(oracle.check(&next, &shown), Ok(()));
    let unshown = Violation::Unshown {
        id: id(0, 4),
        position: 3,
        found: None,
    };
    assert_eq!(oracle.check(&next, &cut), Err(unshown));

    let mut oracle = LogOracle::default();
    oracle.advance(&events(), &cut);
    assert_eq!(oracle.check(&next, &cut), Ok(()));
    let resurrected = Violation::Resurrected {
        id: id(0, 4),
        position: 3,
    };
    assert_eq!(oracle.check(&next, &shown), Err(resurrected));
}

#[test]
fn two_acknowledgements_of_one_position_are_a_violation() {
    let mut events = events();
    events.push(Ack {
        id: id(0, 4),
        position: 2,
    });
    let result = LogOracle::default().check(&events, &survivors(0, &ids(&[0, 1, 2, 4])));
    let wrong = Violation::WrongAck {
        id: id(0, 4),
        position: 2,
        found: id(0, 2),
    };
    assert_eq!(result, Err(wrong));
}

#[test]
fn a_generation_is_part_of_every_id() {
    let mut rng = rand_chacha::ChaCha8Rng::from_seed([3; 32]);
    let workload = plugpull::Workload::draw(&mut rng, 5);
    let ids: Vec<u64> = workload
        .actions(7)
        .take(100)
        .map(|action| action.id)
        .collect();
    assert!(ids.iter().all(|id| workload::generation_of(*id) == 5));
    for id in ids {
        assert_eq!(workload::id_of(&workload.payload(id)), Some(id));
    }
}

#[test]
fn what_was_said_to_be_durable_is_there_or_trimmed() {
    let mut events = events();
    events.push(Durable { below: 4 });
    let check = |oracle: &LogOracle, events: &[Event], numbers: &[u64]| {
        oracle.check(events, &survivors(0, &ids(numbers)))
    };
    let mut oracle = LogOracle::default();
    assert_eq!(check(&oracle, &events, &[0, 1, 2, 4]), Ok(()));
    let lost = Violation::NotDurable { below: 4, end: 3 };
    assert_eq!(check(&oracle, &events, &[0, 1, 2]), Err(lost.clone()));
    oracle.excuse(3);
    assert_eq!(check(&oracle, &events, &[0, 1, 2]), Ok(()));
    oracle.excuse(4);
    assert_eq!(check(&oracle, &events, &[0, 1, 2]), Err(lost));
    events.push(TrimBegin { below: 4 });
    assert_eq!(LogOracle::default().check(&events, &[]), Ok(()));
}

#[test]
fn a_batch_survives_as_a_whole_or_not_at_all() {
    let mut events: Vec<Event> = (0..4).map(|n| attempt(id(0, n))).collect();
    events.extend((2..4).map(|n| Together {
        id: id(0, n),
        after: id(0, n - 1),
    }));
    let check = |events: &[Event], base, numbers: &[u64]| {
        LogOracle::default().check(events, &survivors(base, &ids(numbers)))
    };
    let torn = |n| {
        Err(Violation::TornBatch {
            id: id(0, n),
            after: id(0, n - 1),
        })
    };
    assert_eq!(check(&events, 0, &[0]), Ok(()));
    assert_eq!(check(&events, 0, &[1, 2, 3, 0]), Ok(()));
    assert_eq!(check(&events, 0, &[0, 1, 2]), torn(3));
    assert_eq!(check(&events, 0, &[1, 0, 2, 3]), torn(2));
    assert_eq!(check(&events, 0, &[0, 2, 3]), torn(2));
    // Its beginning may be trimmed.
    events.push(TrimBegin { below: 2 });
    assert_eq!(check(&events, 2, &[3]), Ok(()));
    assert_eq!(check(&events, 0, &[2, 3]), torn(2));
}

#[test]
fn a_closed_log_stays_closed_until_something_is_tried() {
    let closed = |base, numbers: &[u64]| {
        let mut all = survivors(base, &ids(numbers));
        all.push(Survivor::CLOSED);
        all
    };
    let open = survivors(0, &ids(&[0, 1, 2]));
    let mut events = events();
    let mut oracle = LogOracle::default();
    assert_eq!(oracle.check(&events, &closed(0, &[0, 1, 2])), Ok(()));
    events.push(Closed);
    assert_eq!(oracle.check(&events, &closed(0, &[0, 1, 2])), Ok(()));
    assert_eq!(oracle.check(&events, &open), Err(Violation::NotClosed));
    events.push(attempt(id(0, 5)));
    assert_eq!(oracle.check(&events, &open), Ok(()));

    // Found closed once, and by the next recovery as well.
    oracle.advance(&events, &closed(0, &[0, 1, 2]));
    let restored = {
        let mut other = LogOracle::default();
        other.restore(oracle.save()).unwrap();
        other
    };
    assert_eq!(restored.check(&[], &open), Err(Violation::NotClosed));
    assert_eq!(restored.check(&[TrimBegin { below: 0 }], &open), Ok(()));
    oracle.excuse(3);
    assert_eq!(oracle.check(&[], &open), Ok(()));
}
