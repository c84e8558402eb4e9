//! Exact search: every row of the user is looked at.

use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::sync::OwnedRwLockReadGuard;

use crate::error::Result;
use crate::merge::Merged;
use crate::metric::Query;
use crate::view::View;

/// A document that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The document.
    pub doc: u128,
    /// How far it is from the query: less is nearer.
    pub distance: f64,
    /// Its vector, if it was asked for.
    pub vector: Option<Vec<f32>>,
}

/// What a search saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Nearest first; of two at the same distance the one with the lower id.
    pub hits: Vec<Hit>,
    /// The search saw every operation below it, and no other.
    pub seen_below: u64,
}

/// What is looked for.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) query: Query,
    pub(crate) user: u128,
    pub(crate) k: usize,
    pub(crate) with_vectors: bool,
}

impl Search {
    /// Looks at everything that the view shows; `None` if no row in it is the user's.
    pub(crate) fn run(&self, view: OwnedRwLockReadGuard<View>) -> Result<Option<Found>> {
        let seen_below = view.visible;
        let mut nearest = Nearest::new(self);
        // What memory says of a document hides what segments say.
        let mut hidden: Vec<u128> = Vec::new();
        for row in view.memory.rows_of(self.user) {
            hidden.push(row.key.doc);
            if let Some(vector) = row.vector {
                nearest.offer(row.key.doc, vector);
            }
        }
        let segments = Arc::clone(&view.segments);
        // Operations can be taken in again; the segments never change.
        drop(view);
        let mut is_known = !hidden.is_empty();
        let mut hidden = hidden.into_iter().peekable();
        let mut merged = Merged::new(&segments, Some(self.user))?;
        while merged.next(|row| {
            is_known = true;
            let doc = row.key.doc;
            while hidden.next_if(|hidden| *hidden < doc).is_some() {}
            if let Some(vector) = row.vector.filter(|_| hidden.peek() != Some(&doc)) {
                nearest.offer(doc, vector);
            }
            Ok(())
        })? {}
        Ok(is_known.then(|| Found {
            hits: nearest.into_hits(),
            seen_below,
        }))
    }
}

/// Whether any row is the user's: some operation has named the user.
pub(crate) fn knows(view: &View, user: u128) -> Result<bool> {
    if view.memory.rows_of(user).next().is_some() {
        return Ok(true);
    }
    for segment in view.segments.iter().rev() {
        if Merged::new(std::slice::from_ref(segment), Some(user))?.next(|_| Ok(()))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The nearest so far, the farthest of them on top.
struct Nearest<'a> {
    search: &'a Search,
    heap: BinaryHeap<Candidate>,
}

struct Candidate {
    rank: f64,
    doc: u128,
    vector: Option<Vec<f32>>,
}

impl<'a> Nearest<'a> {
    fn new(search: &'a Search) -> Self {
        let heap = BinaryHeap::new();
        Self { search, heap }
    }

    fn offer(&mut self, doc: u128, vector: &[f32]) {
        let mut candidate = Candidate {
            rank: self.search.query.rank(vector),
            doc,
            vector: None,
        };
        if self.heap.len() == self.search.k {
            if self
                .heap
                .peek()
                .is_some_and(|farthest| *farthest <= candidate)
            {
                return;
            }
            self.heap.pop();
        }
        candidate.vector = self.search.with_vectors.then(|| vector.to_vec());
        self.heap.push(candidate);
    }

    fn into_hits(self) -> Vec<Hit> {
        let query = &self.search.query;
        let candidates = self.heap.into_sorted_vec().into_iter();
        candidates
            .map(|candidate| Hit {
                doc: candidate.doc,
                distance: query.distance(candidate.rank),
                vector: candidate.vector,
            })
            .collect()
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by_rank = self.rank.total_cmp(&other.rank);
        by_rank.then(self.doc.cmp(&other.doc))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}
