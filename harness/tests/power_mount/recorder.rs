//! How the programs here are recorded.

use plugpull::RecorderKind;

pub(crate) const RECORDER: RecorderKind = RecorderKind::Mount;
