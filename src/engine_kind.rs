//! The engines by name. What each of them is stands in `src/engine/`, which also says whether one
//! is available.

/// How a group reaches the disk.
///
/// All of them make the same promises; they differ in whose thread waits for the disk, and in what
/// that costs. `docs/engines.md` in the repository helps to choose, with figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EngineKind {
    /// [`Uring`](Self::Uring) where the kernel allows it and [`Options::io_driver`] says that it can be
    /// waited for, else [`Blocking`](Self::Blocking); if the kernel refuses, one line in the trace
    /// says why. Also `Blocking` with an [`Options::executor`] and on a storage without descriptors.
    ///
    /// [`Options::io_driver`]: crate::Options::io_driver
    /// [`Options::executor`]: crate::Options::executor
    #[default]
    Auto,
    /// One call on Tokio's blocking pool for each busy period; no worker thread is ever blocked.
    /// Or on an executor of your own: [`Options::executor`](crate::Options::executor).
    Blocking,
    /// Write and sync on the worker thread itself, inside the leader's poll. Fast on disks that
    /// sync in microseconds and right for simulation; on slower disks it stalls the runtime.
    Inline,
    /// A request to Linux' `io_uring` for each group, its end awaited on Tokio's I/O driver: no
    /// thread waits for the disk. Needs Linux 5.6.
    ///
    /// Opening fails where the kernel refuses ([`Auto`](Self::Auto) does not). What is led outside any
    /// runtime, while Tokio's clock is paused, or on a file without a descriptor
    /// ([`StorageFile::raw`](crate::StorageFile::raw)) goes the way of `Blocking`.
    ///
    /// # Panics
    /// Appends panic, with Tokio's message, on a runtime without an I/O driver (`Builder::enable_io`).
    /// The log stays usable from others.
    Uring,
}

impl EngineKind {
    /// Whether an executor may be given with it, if only to be left unused.
    pub(crate) fn takes_executor(self) -> bool {
        self != Self::Uring
    }
}
