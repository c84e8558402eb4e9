//! Engines by name.

use std::str::FromStr;

use groupwal::EngineKind;

/// An engine by its name on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) kind: EngineKind,
}

/// Every engine there is.
const ENGINES: &[Engine] = &[
    Engine {
        name: "auto",
        kind: EngineKind::Auto,
    },
    Engine {
        name: "blocking",
        kind: EngineKind::Blocking,
    },
    Engine {
        name: "inline",
        kind: EngineKind::Inline,
    },
    Engine {
        name: "uring",
        kind: EngineKind::Uring,
    },
];

impl FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let engine = ENGINES.iter().find(|engine| engine.name == name);
        let names: Vec<_> = ENGINES.iter().map(|engine| engine.name).collect();
        engine
            .copied()
            .ok_or_else(|| format!("there is none; there are {}", names.join(", ")))
    }
}
