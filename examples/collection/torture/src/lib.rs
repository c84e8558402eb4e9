//! The collection of `examples/collection` as a subject: the whole server and its clients in the process
//! that is killed; on the simulated disk the collection alone.
//!
//! Each key of a workload is four documents, which one insert writes and one remove takes away. They are
//! visible to two users, one who sees everything and one of the key's own. So an operation of which a part
//! is lost, or seen too early, shows as a key whose documents are not of one attempt.

mod access;
mod act;
mod documents;
mod mutants;
mod oracle;
mod simulated;
mod subject;

pub use self::mutants::mutants;
pub use self::oracle::CollectionOracle;
pub use self::subject::VectorCollection;
