//! How near two vectors are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use simsimd::SpatialSimilarity;

/// How near two vectors are. Fixed when a collection is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Euclidean distance.
    #[default]
    L2,
    /// 1 - the cosine of the angle. A vector of zeros has no direction and is refused.
    Cosine,
    /// The negative dot product: more alike is less.
    Dot,
}

impl Metric {
    /// By name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("l2", Self::L2),
        ("cosine", Self::Cosine),
        ("dot", Self::Dot),
    ];
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(_, metric)| metric == self);
        f.write_str(named.expect("all of them have a name").0)
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().find(|(known, _)| *known == name);
        named.map(|(_, metric)| *metric).ok_or_else(|| {
            let known = Self::ALL.map(|(known, _)| known).join(", ");
            format!("'{name}' is none of {known}")
        })
    }
}

/// A vector to which distances are measured.
#[derive(Debug)]
pub(crate) struct Query {
    vector: Vec<f32>,
    metric: Metric,
    /// For cosine: its length.
    norm: f64,
}

impl Query {
    /// `vector` has passed [`Limits::check_vectors`](crate::limits::Limits::check_vectors).
    pub(crate) fn new(vector: Vec<f32>, metric: Metric) -> Self {
        let norm = dot(&vector, &vector).sqrt();
        Self {
            vector,
            metric,
            norm,
        }
    }

    /// What hits are ordered by: less is nearer. Cheaper than the distance, and in the same order.
    pub(crate) fn rank(&self, other: &[f32]) -> f64 {
        match self.metric {
            Metric::L2 => f32::sqeuclidean(&self.vector, other).expect("one dimension for all"),
            Metric::Cosine => {
                1.0 - dot(&self.vector, other) / (self.norm * dot(other, other).sqrt())
            }
            Metric::Dot => -dot(&self.vector, other),
        }
    }

    /// The distance that a rank stands for.
    pub(crate) fn distance(&self, rank: f64) -> f64 {
        match self.metric {
            Metric::L2 => rank.sqrt(),
            Metric::Cosine | Metric::Dot => rank,
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    f32::dot(a, b).expect("one dimension for all")
}
