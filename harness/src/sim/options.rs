//! How a file is opened.

use std::io;

/// How a file is opened, as [`std::fs::OpenOptions`].
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "as the options of open(2)")]
pub struct OpenOptions {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) truncate: bool,
    pub(super) create: bool,
    pub(super) create_new: bool,
}

macro_rules! option {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, yes: bool) -> &mut Self {
            self.$name = yes;
            self
        }
    };
}

impl OpenOptions {
    /// Nothing allowed yet.
    pub fn new() -> Self {
        Self::default()
    }

    option!(read, "The file may be read.");
    option!(write, "The file may be written.");
    option!(append, "The file may be written, always at its end.");
    option!(truncate, "The file is emptied.");
    option!(create, "The file is created if it is missing.");
    option!(
        create_new,
        "The file is created; that it is there already is an error."
    );

    pub(super) fn creates(&self) -> bool {
        self.create || self.create_new
    }

    pub(super) fn writes(&self) -> bool {
        self.write || self.append
    }

    /// As std, which makes sense of the options before it asks the system.
    pub(super) fn check(&self) -> io::Result<()> {
        let senseless = match (self.read, self.write, self.append) {
            (false, false, false) => true,
            (_, false, false) => self.truncate || self.creates(),
            (_, _, append) => append && self.truncate && !self.create_new,
        };
        if senseless {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }
}
