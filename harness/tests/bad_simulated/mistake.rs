//! What a store can do wrong.

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    AcksBeforeSync,
    /// The same, in a store that does in the end what fails on a disk in order, too.
    AcksBeforeSyncAndTidiesUp,
    SyncsBeforeWrite,
    /// A new segment's name is not made durable.
    NoDirectorySync,
    /// A new segment gets its name before its header is durable.
    RenamesUnsynced,
    /// A group that goes on in a new segment: only that one is synced.
    LeavesOldSegmentUnsynced,
    /// Recovery shows what it read, which may be in memory only.
    ServesUnsynced,
    /// Recovery syncs what it read; but after a failed sync memory shows what is not on the disk, and
    /// no later sync writes it.
    ServesWhatAFailedSyncLeft,
    RetriesSync,
    /// What an earlier process has left of a new segment is taken as it is. It is removed if its sync fails;
    /// a process that dies before that leaves it, long in memory and short on the disk.
    TakesOverAHalfMadeSegment,
    TakesShortWriteForWhole,
    /// An error, as on a full disk, stops a group half-way, and what was written of it stays.
    ForgetsRollback,
    /// Recovery cuts a torn group by forgetting where it was.
    LeavesStaleFrames,
    CountsTornEntry,
    ReplaysAcrossHoles,
    UnlinksNewestFirst,
    AcceptsFlippedBits,
    PanicsOnDamage,
    PanicsInWriter,
    FailsInRecovery,
    /// A log that has come about and holds nothing yet does not open.
    FailsWhereNothingIsYet,
    /// One mistake in front of another: most crash states do not open.
    FailsInRecoveryAndAcksBeforeSync,
    NeverEnds,
    NeverEndsWriting,
    /// On an error of the disk it tries again, for ever.
    NeverEndsAfterAnError,
    /// Recovery of damaged bytes looks for the rest, for ever.
    NeverEndsOnDamage,
}
