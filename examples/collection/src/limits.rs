//! What a request must be like. Whatever passes here, recovery can take in: what does not is never
//! logged.

use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::options::{Config, Options};

/// The sum of a vector's squares stays below it, so that no distance overflows.
const SQUARES_MAX: f64 = 1e37;
/// For cosine: it is no less, so that no length vanishes.
const SQUARES_MIN: f64 = 1e-30;
/// Fixed part of an entry's body: two counts and the operation.
const ENTRY_FIXED_BYTES: usize = 17;

/// The rules for requests.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    config: Config,
    operation_bytes_max: usize,
    operation_rows_max: usize,
    hits_max: usize,
}

impl Limits {
    pub(crate) fn new(config: Config, options: &Options) -> Self {
        Self {
            config,
            operation_bytes_max: options.operation_bytes_max,
            operation_rows_max: options.operation_rows_max,
            hits_max: options.hits_max,
        }
    }

    pub(crate) fn check_insert(&self, docs: &[u128], users: &[u128], floats: &[f32]) -> Result<()> {
        self.check_ids(docs, users)?;
        let dimension = self.config.dimension as usize;
        if docs.len().checked_mul(dimension) != Some(floats.len()) {
            let reason = format!(
                "{} numbers cannot be the vectors of {} documents of dimension {dimension}",
                floats.len(),
                docs.len()
            );
            return Err(Error::invalid("vectors", reason));
        }
        self.check_size("vectors", docs, users, floats.len())?;
        self.check_vectors("vectors", floats)
    }

    pub(crate) fn check_remove(&self, docs: &[u128], users: &[u128]) -> Result<()> {
        self.check_ids(docs, users)?;
        self.check_size("doc_ids", docs, users, 0)
    }

    pub(crate) fn check_search(&self, vector: &[f32], k: usize) -> Result<()> {
        let dimension = self.config.dimension as usize;
        if vector.len() != dimension {
            let reason = format!(
                "it has {} numbers, the collection's dimension is {dimension}",
                vector.len()
            );
            return Err(Error::invalid("vector", reason));
        }
        if !(1..=self.hits_max).contains(&k) {
            let reason = format!("{k} is not in 1..={}", self.hits_max);
            return Err(Error::invalid("k", reason));
        }
        self.check_vectors("vector", vector)
    }

    /// Vectors of the right length: finite, not too long, and with a direction if that matters.
    fn check_vectors(&self, field: &'static str, floats: &[f32]) -> Result<()> {
        for (index, vector) in floats.chunks(self.config.dimension as usize).enumerate() {
            if let Some(place) = vector.iter().position(|float| !float.is_finite()) {
                let reason = format!(
                    "number {place} of vector {index} is {}, which is not finite",
                    vector[place]
                );
                return Err(Error::invalid(field, reason));
            }
            let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            if squares > SQUARES_MAX {
                let reason = format!("vector {index} is too long: its distances would overflow");
                return Err(Error::invalid(field, reason));
            }
            if self.config.metric == Metric::Cosine && squares < SQUARES_MIN {
                let reason = format!("vector {index} is zero, or nearly so, and has no direction");
                return Err(Error::invalid(field, reason));
            }
        }
        Ok(())
    }

    fn check_ids(&self, docs: &[u128], users: &[u128]) -> Result<()> {
        for (field, ids) in [("doc_ids", docs), ("user_ids", users)] {
            if ids.is_empty() {
                return Err(Error::invalid(field, "at least one is needed"));
            }
            if ids.len() > self.operation_rows_max {
                let reason = format!(
                    "{} of them, the limit is {}",
                    ids.len(),
                    self.operation_rows_max
                );
                return Err(Error::invalid(field, reason));
            }
            let mut sorted = ids.to_vec();
            sorted.sort_unstable();
            if let Some([twice, ..]) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::invalid(field, format!("{twice} is there twice")));
            }
        }
        let rows = docs.len() * users.len();
        if rows > self.operation_rows_max {
            let reason = format!(
                "{} documents for {} users make {rows} rows, the limit is {}",
                docs.len(),
                users.len(),
                self.operation_rows_max
            );
            return Err(Error::invalid("user_ids", reason));
        }
        Ok(())
    }

    fn check_size(
        &self,
        field: &'static str,
        docs: &[u128],
        users: &[u128],
        floats: usize,
    ) -> Result<()> {
        // The ids are few enough and the floats are in memory: this cannot overflow.
        let bytes = ENTRY_FIXED_BYTES + 16 * (docs.len() + users.len()) + 4 * floats;
        if bytes > self.operation_bytes_max {
            let reason = format!(
                "the operation takes {bytes} bytes in the log, the limit is {}",
                self.operation_bytes_max
            );
            return Err(Error::invalid(field, reason));
        }
        Ok(())
    }
}
